#!lua
-- Decides on a write and holds its bytes.
-- No allow-oom: a Redis without memory takes no new writes, and says so before anything is done.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1-8 see include/write-args.lua; 9 ms until the hold lapses,
--       10 under a bank, 11 kept when it lapses
-- Reply RESERVED, usage, used after, decision, generation (own/bank's under a bank), what this hold
--       adds to used or '' when it is settled already
--       REJECTED, usage, used after, retry after ms or ''
--       GRANT_SHORT, usage, used after, number of the grant: it fits the limit and not the grant
--       UNDECIDED, usage: what has lapsed may stand in its way for nothing
--       STALE, usage, stamp | AGAIN, usage: send it again, there is more to reap
--       CONFLICT | BEYOND_MAX, usage: nothing was held
--@include write-args
id = 'w:' .. id
local hold_ms = whole_arg(9, 'holdMs')
local banked = flag_arg(10, 'bank')
local keep = flag_arg(11, 'keep')
if now + hold_ms > MAX then bad_argument('holdMs') end
hold_ms = math.min(hold_ms, LAPSED - 1 - now)

local function reserved(used_after, decision, grown)
  local generation = banked and S.g .. '/' .. S.gg or S.g
  return reply(CODE.RESERVED, digits(used_after), digits(decision), generation, grown or '')
end

local function adds()
  if not key then return digits(bytes) end
  local k = open_key(key)
  local live = counted_live(k)
  return digits(math.max(live, largest_open(k)) - math.max(live, largest_open(k, bytes)))
end

if stamp < S.cv then return reply(CODE.STALE, digits(S.cv)) end

-- Sent before: the present state, the decision as recorded, nothing held twice.
local record = S.g and find_record(id)
if record then
  local late = record.decision == NO_DECISION -- released, or committed unseen, before it came
  local same = record.key == key and (record.bytes == bytes or late)
  if not same and not (late and record.state == 'r') then return reply(CODE.CONFLICT) end
  if key then open_key(key) end -- settles what is due of it
  local used_after, open = S.c + S.r, record.state == 'o'
  if open then used_after = forecast(key, bytes, bytes) end
  return reserved(used_after, late and ALLOW or record.decision, open and adds())
end

if S.g then S.cv = stamp end
reap(BEFORE_DECIDING)
meter_all()
local grant = granted(banked and enforce)
local decision, used_after, short, again = judge(key, bytes, nil, quota, hard, grant)
if again then return reply(CODE.AGAIN) end
if decision == REJECT and enforce and not unsure(short) then
  if undecided(used_after, hard) then return reply(CODE.UNDECIDED) end
  local wait = retry_after(used_after - hard, key)
  return reply(CODE.REJECTED, digits(math.min(used_after, MAX)), wait)
end
if beyond_max(used_after) then return reply(CODE.BEYOND_MAX) end
if short then return grant_short(used_after) end

ensure_life(id)
S.cv = stamp
record = { state = 'o', bytes = bytes, decision = decision, a = keep and '1', key = key }
hold_bytes(record)
put_record(id, record, DEADLINES, hold_ms)
return reserved(used_after, decision, adds())
