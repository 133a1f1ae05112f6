#!lua flags=allow-oom
-- Removes an entry and its value, and gives its bytes back.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 id, 2 '1', 3 key, 4 version or ''
-- Reply DONE, usage, removed 0|1, freed bytes | CONFLICT, usage
--@include reservations
local id, key = 'd:' .. text_arg(1, 'id', 128), key_arg(2)
local version = optional_arg(4, 'version')
if not key then bad_argument('key') end
if not S.g then return reply(CODE.DONE, '0', '0') end
local k = open_key(key)
local record = find_record(id)
if record then
  if record.key ~= key then return reply(CODE.CONFLICT) end
  return reply(CODE.DONE, record.a, record.b)
end
local entry = k.entry
local removed = entry and not (version and version < entry.version)
see_version(k, version)
if removed then change(k, set_entry, nil) end
local freed = removed and digits(entry.bytes) or '0'
mark(id, 'd', { key = key }, removed and '1' or '0', freed)
return reply(CODE.DONE, removed and '1' or '0', freed)
