#!lua flags=allow-oom
-- Reaps at most so many expired entries and as many lapsed reservations.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 how many, capped at 1,000
-- Reply DONE | MORE, usage, entries, reservations, bytes that became free, 1 when lapsed ones are held,
--       how much is unsettled
--@include reap
local max = math.min(whole_arg(1, 'max'), 1000)
local before = S.c + S.r
if S.g then
  reap(max)
  forget_marks(max)
end
local freed = before - (S.c + S.r)
local code = more_due() and CODE.MORE or CODE.DONE
return reply(code, digits(reaped.expired), digits(reaped.lapsed), digits(freed), S.lc > 0 and '1' or '0',
  digits(S.ls))
