#!lua flags=allow-oom
-- One page of a recount, exact under traffic: entries that were counted carry the session's number,
-- and include/keys.lua keeps the count right for them from then on. New entries are counted as they
-- come. Whoever calls drives the one session under way; when one was left behind, it is gone on with.
-- At the end the number counted must be the number there is; if not (a failover moved the cursor's
-- ground), it starts anew.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 session, 0 at first; 2 entries a page, at most 1,000
-- Reply DONE, usage, drift (signed), session | MORE, usage, session, restarted 0|1
--@include reap
local mine, page = whole_arg(1, 'session'), math.min(whole_arg(2, 'page'), 1000)
if page < 1 then bad_argument('page') end
if not S.g then return reply(CODE.DONE, '0', '0') end

-- rq last session given out, rf last one finished, rd its drift
local past = redis.call('HMGET', STATE, 'rq', 'rf', 'rd')
if mine > 0 and (tonumber(past[2]) or 0) >= mine then
  return reply(CODE.DONE, past[3], past[2])
end

local function begin(last)
  S.rs, S.rc, S.ra, S.rn = last + 1, '0', 0, 0
  later('HSET', STATE, 'rq', digits(S.rs))
end
if S.rs == 0 then begin(tonumber(past[1]) or 0) end
reap(page)

local function count_in(k)
  k.entry.session, k.entry_changed, k.keep_value = S.rs, true, true
end
local found = redis.call('HSCAN', ENTRIES, S.rc, 'COUNT', page)
local keys = {}
for i = 1, #found[2], 2 do keys[#keys + 1] = found[2][i] end
open_keys(keys)
for _, key in ipairs(keys) do
  local k = known[key]
  if k.entry and k.entry.session ~= S.rs then change(k, count_in) end
end
S.rc = found[1]
if S.rc ~= '0' then return reply(CODE.MORE, digits(S.rs), '0') end

local pending = redis.call('HKEYS', PENDING)
open_keys(pending)
local gone = 0
for _, k in pairs(known) do
  if k.had_entry and not k.entry then gone = gone + 1 end
end
if S.rn ~= redis.call('HLEN', ENTRIES) - gone then
  begin(S.rs)
  return reply(CODE.MORE, digits(S.rs), '1')
end

meter_all()
local counted = S.ra + S.k
local drift = S.c - counted
S.c, S.r = counted, S.ur
for _, key in ipairs(pending) do
  local live, top = live_bytes(known[key]), largest_open(known[key])
  S.r = S.r + math.max(live, top) - live
end
later('HSET', STATE, 'rf', digits(S.rs), 'rd', digits(drift))
local session = digits(S.rs)
S.rs, S.rc, S.ra, S.rn = 0, '0', 0, 0
return reply(CODE.DONE, digits(drift), session)
