#!lua flags=allow-oom
-- Sets entries to what the storage really holds, each only where the ledger is as it was seen and no
-- write of the key is on its way; while the ledger is being rebuilt also where one is, unless it is
-- known to be later. Never refused: it states what is so.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 nonce for a new life; then for each, at most 1,000: key, bytes or '' for nothing,
--       expires at or '', version or '', seen bytes or '' for no entry, seen version or '',
--       seen written or '' for any
-- Reply DONE, usage, how many were applied, signed sum of their changes
--       BEYOND_MAX, usage: nothing was changed
--@include ledger
local nonce, wanted = text_arg(1, 'nonce', 128), {}
if #ARGV < 8 or #ARGV > 7001 or (#ARGV - 1) % 7 ~= 0 then bad_argument('corrections') end
for i = 2, #ARGV, 7 do
  wanted[#wanted + 1] = {
    key = text_arg(i, 'key'), bytes = optional_arg(i + 1, 'bytes'),
    expiry = optional_arg(i + 2, 'expiresAt'), version = optional_arg(i + 3, 'version') or 0,
    seen_bytes = optional_arg(i + 4, 'seenBytes'), seen_version = optional_arg(i + 5, 'seenVersion'),
    seen_written = optional_arg(i + 6, 'seenWritten'),
  }
end

local function as_seen(entry, w)
  if not entry then return w.seen_bytes == nil end
  if w.seen_written and w.seen_written ~= entry.written then return false end
  return entry.bytes == w.seen_bytes and entry.version == (w.seen_version or 0)
end

local function free(k, w)
  if not is_open(k) then return true end
  return S.rb ~= '' and w.version >= k.version
end

local applied, delta, most, made = 0, 0, S.c + S.r + S.u, false
for _, w in ipairs(wanted) do
  local k = open_key(w.key)
  if free(k, w) and as_seen(k.entry, w) and (k.entry or w.bytes) then
    local entry = w.bytes and (not w.expiry or w.expiry > now) and {
      bytes = w.bytes, expiry = w.expiry or 0, version = w.version, meta = '',
    } or nil
    applied, made = applied + 1, made or entry ~= nil
    delta = delta + (entry and entry.bytes or 0) - (k.entry and k.entry.bytes or 0)
    change(k, set_entry, entry)
    most = math.max(most, S.c + S.r + S.u)
  end
end
if most > MAX then
  return { CODE.BEYOND_MAX, '0', '0', '0', '0' } -- reply() would write
end
if made then ensure_life(nonce) end
return reply(CODE.DONE, digits(applied), digits(delta))
