#!lua flags=no-writes
-- A page of the entries, in no order; one that is present all the while comes at least once. A page
-- may have more entries than asked for: HSCAN gives small hashes whole.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 cursor, '0' at first; 2 about how many, capped at 1,000
-- Reply DONE, next cursor, then for each live entry: key, bytes, expiry or '0', version,
--       written or '0', pending 0|1
--@include formats
local cursor, count = ARGV[1], math.min(whole_arg(2, 'limit'), 1000)
if not cursor or #cursor > 20 or not string.find(cursor, '^%d+$') then bad_argument('cursor') end
if count < 1 then bad_argument('limit') end

local found = redis.call('HSCAN', ENTRIES, cursor, 'COUNT', count)
local made = { CODE.DONE, found[1] }
local anything_open = redis.call('EXISTS', PENDING) == 1
for i = 1, #found[2], 2 do
  local key, e = found[2][i], parse_entry(found[2][i + 1])
  if e.expiry == 0 or e.expiry > now then
    local n = #made
    made[n + 1], made[n + 2], made[n + 3] = key, digits(e.bytes), digits(e.expiry)
    made[n + 4], made[n + 5] = digits(e.version), digits(e.written)
    local sizes, _, lapsed = parse_pending(anything_open and redis.call('HGET', PENDING, key))
    made[n + 6] = #sizes > lapsed and '1' or '0'
  end
end
return made
