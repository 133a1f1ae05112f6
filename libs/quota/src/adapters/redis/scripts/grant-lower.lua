#!lua flags=allow-oom
-- Gives back what of the grant is neither used nor kept in reserve. Not for less than what is kept: it
-- would soon be asked for again. The bank takes it back afterwards; until then nobody has it.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 bytes to keep beyond what is used
-- Reply DONE, usage, the bank's generation, number and bytes of the grant as it is now
--       LOST, usage: there is none, or it is being rebuilt
--@include ledger
local keep = whole_arg(1, 'chunkBytes')
local rest = S.c + S.r + S.u + keep
if S.gs == 0 or S.rb ~= '' then return reply(CODE.LOST) end
if S.gb - rest >= math.max(keep, 1) then S.gb = rest end
return reply(CODE.DONE, S.gg, digits(S.gs), digits(S.gb))
