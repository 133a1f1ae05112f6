#!lua flags=allow-oom
-- Reaps what is due, at most 1,000 of each kind a call, then gives the numbers.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- Reply DONE | MORE, usage: MORE to be called again
--@include reap
if S.g then
  reap(1000)
  forget_marks(1000)
end
return reply(more_due() and CODE.MORE or CODE.DONE)
