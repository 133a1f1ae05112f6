#!lua flags=allow-oom
-- The verdict reserve would give; nothing is held or recorded, but what is due is reaped.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1-8 see include/write-args.lua
-- Reply as reserve, usage as it would be with the unmetered entries metered
--@include write-args
local function answer(code, ...)
  local made = reply(code, ...)
  meter_all() -- after all is written: for the numbers of this reply only
  made[2], made[3], made[4] = digits(S.c), digits(S.r), digits(S.u)
  return made
end

if stamp < S.cv then return reply(CODE.STALE, digits(S.cv)) end
as_metered = true
reap(BEFORE_DECIDING)
local decision, used_after, _, again = judge(key, bytes, nil, quota, hard, granted(false))
if again then return reply(CODE.AGAIN) end
if decision == REJECT and enforce then
  if undecided(used_after, hard) then return reply(CODE.UNDECIDED) end
  local wait = retry_after(used_after - hard, key)
  return answer(CODE.REJECTED, digits(math.min(used_after, MAX)), wait)
end
if beyond_max(used_after) then return reply(CODE.BEYOND_MAX) end
return answer(CODE.RESERVED, digits(used_after), digits(decision), S.g or '')
