#!lua
-- Stores a value while the tenant's quota is off: no check, no charge, but listed, so that it can be
-- charged later. No allow-oom: it was not admitted by anything before.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 id, 2 '1', 3 key, 4 stamp, 5 ttl ms or '', 6 meta, 7 body
-- Reply COMMITTED, usage, replaced 0|1, expires at or '0'
--       STALE, usage, stamp | CONFLICT | BEYOND_MAX, usage: nothing was stored
--@include reservations
local id, key, stamp = 'p:' .. text_arg(1, 'id', 128), key_arg(2), whole_arg(4, 'stamp')
local ttl, meta, body = optional_arg(5, 'ttlMs'), ARGV[6], ARGV[7]
if not key then bad_argument('key') end
if not meta or #meta > 1024 or not body then bad_argument('value') end
if now + (ttl or 0) > MAX then bad_argument('ttlMs') end

if stamp < S.cv then return reply(CODE.STALE, digits(S.cv)) end
local k = open_key(key)
local record = S.g and find_record(id)
if record then
  if record.key ~= key then return reply(CODE.CONFLICT) end
  return reply(CODE.COMMITTED, record.a, record.b)
end
if S.c + S.r + S.u + #body > MAX then return reply(CODE.BEYOND_MAX) end

ensure_life(id)
S.cv = stamp
local replaced, expiry = k.entry and '1' or '0', ttl and now + ttl or 0
change(k, set_entry, { bytes = #body, expiry = expiry, epoch = S.ue, version = 0, meta = meta })
put_value(k, body)
mark(id, 'p', { key = key }, replaced, digits(expiry))
return reply(CODE.COMMITTED, replaced, digits(expiry))
