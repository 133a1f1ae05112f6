#!lua flags=allow-oom
-- Frees lapsed reservations that somebody has looked into, and forgets them. Others are left alone.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  the ids, at most 1,000
-- Reply DONE, usage, how many it were
--@include reservations
if #ARGV > 1000 then bad_argument('ids') end
for i in ipairs(ARGV) do text_arg(i, 'id', 128) end
local gone, seen = {}, {}
for _, text in ipairs(ARGV) do
  local id = 'w:' .. text
  local record = not seen[id] and find_record(id)
  seen[id] = true
  if record and record.state == 'o' and record.b == '1' then
    free_hold(record)
    gone[#gone + 1] = id
  end
end
later_all('HDEL', RESERVATIONS, gone)
later_all('ZREM', DEADLINES, gone)
return reply(CODE.DONE, digits(#gone))
