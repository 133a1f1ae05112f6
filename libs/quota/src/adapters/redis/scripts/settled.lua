#!lua flags=allow-oom
-- Lowers the number of what is unsettled (ls in include/state.lua), by at most so many.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 how many
-- Reply DONE, usage, how many it was lowered by
--@include ledger
local lowered = math.min(whole_arg(1, 'count'), S.ls)
S.ls = S.ls - lowered
return reply(CODE.DONE, digits(lowered))
