#!lua flags=allow-oom
-- Ends this life of the tenant: a new generation, everything else gone but the stamp and what is
-- unsettled, which is one more. Sent twice with the same generation it has one effect. A tenant without state stays without.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 the new generation, never used before
-- Reply DONE, usage
--@include ledger
local generation = text_arg(1, 'generation', 128)
if S.g and S.g ~= generation then
  redis.call('UNLINK', unpack(KEYS, 2))
  for _, sum in ipairs(SUMS) do S[sum] = 0 end
  S.g, S.rs, S.rc = generation, 0, '0'
  S.ls = S.ls + 1 -- a write of this life may have been stored for the next one to count
  S.gs, S.gb, S.gg, S.rb, S.fn = 0, 0, '', '', 0 -- a new life knows no grant
end
return reply(CODE.DONE)
