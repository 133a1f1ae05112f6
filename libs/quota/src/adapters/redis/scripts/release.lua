#!lua flags=allow-oom
-- Gives a hold back. An id never seen is marked too, so that a reserve that comes late holds nothing.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 id
-- Reply RELEASED | SETTLED, usage
--@include reservations
local id = 'w:' .. text_arg(1, 'id', 128)
if not S.g then return reply(CODE.SETTLED) end
local record = find_record(id)
if record and record.state ~= 'o' then return reply(CODE.SETTLED) end
if record then free_hold(record) end
mark(id, 'r', record or {})
return reply(record and CODE.RELEASED or CODE.SETTLED)
