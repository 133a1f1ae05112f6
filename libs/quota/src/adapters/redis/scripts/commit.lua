#!lua flags=allow-oom
-- Turns a hold into an entry, or frees it; with a value, stores that in the same step. A full Redis
-- does not refuse it: the bytes were admitted by the reserve.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 id, 2 keyed, 3 key, 4 bytes, 5 hard limit, 6 enforce, 7 generation (own, or own/bank's), 8 ttl ms or '',
--       9 version or '', 10 has a value, 11 meta, 12 body, 13 under a bank
-- Reply COMMITTED, usage, replaced 0|1, expires at or '0'
--       REFUSED, usage | BOUNCED, usage | AGAIN, usage: send it again, there is more to reap
--       UNDECIDED, usage: what has lapsed may stand in its way for nothing; nothing was changed
--       GRANT_SHORT, usage, used after, number of the grant: nothing was changed, it is still held
--       CONFLICT | BEYOND_MAX, usage: nothing was changed
--@include verdict
local id, key = 'w:' .. text_arg(1, 'id', 128), key_arg(2)
local bytes, hard, enforce = whole_arg(4, 'bytes'), whole_arg(5, 'hard'), flag_arg(6, 'enforce')
local generation = string.match(ARGV[7] or '', '^[^/]*') -- our own part of it
local ttl, version = optional_arg(8, 'ttlMs'), optional_arg(9, 'version')
local has_value, meta, body = flag_arg(10, 'hasValue'), ARGV[11], ARGV[12]
local banked = flag_arg(13, 'bank')
if not meta or #meta > 1024 or not body then bad_argument('value') end
if has_value and not key then bad_argument('value') end
if now + (ttl or 0) > MAX then bad_argument('ttlMs') end

if not S.g or S.g ~= generation then return reply(CODE.BOUNCED) end
own_id = id
local k = key and open_key(key)
local record = find_record(id)
if record then
  if record.state == 'r' then return reply(CODE.BOUNCED) end
  if record.key ~= key then return reply(CODE.CONFLICT) end
  if record.state == 'c' then return reply(CODE.COMMITTED, record.a, record.b) end
  if record.state == 'f' then return reply(CODE.REFUSED) end
end

local own = record and record.bytes
local outdated = k and version and (version < k.version or (k.entry and version < k.entry.version))
if not outdated and (not record or bytes > own) then
  local limit = enforce and hard or MAX
  reaped.more = true -- judge() reaps before it refuses
  local grant = granted(banked and enforce)
  local decision, used_after, short, again = judge(key, bytes, own, limit, limit, grant)
  if again then return reply(CODE.AGAIN) end
  if decision == REJECT and enforce and not unsure(short) then
    if undecided(used_after, hard, record) then return reply(CODE.UNDECIDED) end
    if record then free_hold(record) end
    mark(id, 'f', record or { key = key })
    return reply(CODE.REFUSED)
  end
  if beyond_max(used_after) then return reply(CODE.BEYOND_MAX) end
  if short then return grant_short(used_after) end
end

if record then free_hold(record) end
local replaced, expiry = k and k.entry and '1' or '0', ttl and key and now + ttl or 0
if outdated then
  expiry = k.entry and k.entry.expiry or 0
elseif k then
  see_version(k, version)
  change(k, set_entry, { bytes = bytes, expiry = expiry, version = version or 0, meta = meta })
  if has_value then put_value(k, body) end
else
  S.c, S.k = S.c + bytes, S.k + bytes
end
mark(id, 'c', record or { key = key, bytes = bytes }, replaced, digits(expiry))
return reply(CODE.COMMITTED, replaced, digits(expiry))
