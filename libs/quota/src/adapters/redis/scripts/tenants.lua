#!lua flags=no-writes,allow-cross-slot-keys
-- A page of the tenants of one node: the names of their state keys, or of those only that have
-- something due, lapsed reservations, or something unsettled. One call looks at hundreds of tenants, and replies with the few that matter.
--
-- KEYS  none: which they are is what it finds out; all of them are on this node
-- ARGV  1 cursor, '0' at first; 2 pattern of the state keys; 3 keys to look at, at most 1,000;
--       4 only those with something due 0|1
-- Reply DONE, next cursor, then the names of the state keys
--@include args
local cursor, pattern, count = ARGV[1], text_arg(2, 'pattern', 4096), whole_arg(3, 'limit')
local only_due = flag_arg(4, 'due')
if not cursor or #cursor > 20 or not string.find(cursor, '^%d+$') then bad_argument('cursor') end
if count < 1 then bad_argument('limit') end

local DONE = 12 -- as in include/state.lua
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

-- A slot on its way to or from this node may not be readable; its tenants are left out this time.
local function has_due(index)
  local first = redis.pcall('ZRANGE', index, 0, 0, 'WITHSCORES')
  return not first.err and first[2] ~= nil and tonumber(first[2]) <= now
end

local function has_unsettled(state)
  local counts = redis.pcall('HMGET', state, 'ls', 'lc')
  if counts.err then return false end
  return (counts[1] or '0') ~= '0' or (counts[2] or '0') ~= '0'
end

local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', math.min(count, 1000))
local made = { DONE, found[1] }
for _, state in ipairs(found[2]) do
  local base = string.sub(state, 1, -2)
  if not only_due or has_due(base .. 'x') or has_due(base .. 'd') or has_unsettled(state) then
    made[#made + 1] = state
  end
end
return made
