#!lua flags=allow-oom
-- Gives back bytes that were charged without a key, at most what is there.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 id, 2 bytes
-- Reply DONE, usage, freed bytes, bytes asked for beyond what was there | CONFLICT, usage
--@include reservations
local id, bytes = 'b:' .. text_arg(1, 'id', 128), whole_arg(2, 'bytes')
if not S.g then return reply(CODE.DONE, '0', digits(bytes)) end
local record = find_record(id)
if record then
  if record.bytes ~= bytes then return reply(CODE.CONFLICT) end
  return reply(CODE.DONE, record.a, record.b)
end
local freed = math.min(bytes, S.k)
S.c, S.k = S.c - freed, S.k - freed
mark(id, 'b', { bytes = bytes }, digits(freed), digits(bytes - freed))
return reply(CODE.DONE, digits(freed), digits(bytes - freed))
