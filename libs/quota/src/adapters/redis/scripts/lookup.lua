#!lua flags=allow-oom
-- The ledger's view of some keys; what is due of them goes.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  the keys, at most 1,000
-- Reply DONE, usage, then for each, in their order: key, bytes, expiry or '0', version, written or
--       '0' (these four '' without an entry), pending 0|1
--@include ledger
if #ARGV > 1000 then bad_argument('keys') end
for i in ipairs(ARGV) do text_arg(i, 'key') end
open_keys(ARGV)
local views = {}
for i, key in ipairs(ARGV) do
  local k = known[key]
  local e, at = k.entry, (i - 1) * 6
  views[at + 1] = key
  views[at + 2] = e and digits(e.bytes) or ''
  views[at + 3] = e and digits(e.expiry) or ''
  views[at + 4] = e and digits(e.version) or ''
  views[at + 5] = e and digits(e.written) or ''
  views[at + 6] = is_open(k) and '1' or '0'
end
return reply(CODE.DONE, unpack(views))
