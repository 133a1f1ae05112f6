#!lua flags=no-writes
-- A page of the reservations that have lapsed and are held, in the order in which they lapsed.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 cursor, '0' at first; 2 how many, capped at 1,000
-- Reply DONE, next cursor or '0', then for each: id, key, bytes
--@include reservations
local cursor, limit = whole_arg(1, 'cursor'), math.min(whole_arg(2, 'limit'), 1000)
if limit < 1 then bad_argument('limit') end
local after = '(' .. digits(LAPSED + cursor)
local found = redis.call('ZRANGEBYSCORE', DEADLINES, after, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
local made = { CODE.DONE, '0' }
if #found == 2 * limit then made[2] = digits(tonumber(found[#found]) - LAPSED) end
for i = 1, #found, 2 do
  local record = find_record(found[i])
  if record then
    local n = #made
    made[n + 1], made[n + 2], made[n + 3] = string.sub(found[i], 3), record.key, digits(record.bytes)
  end
end
return made
