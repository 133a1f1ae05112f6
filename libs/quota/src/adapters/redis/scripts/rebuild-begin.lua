#!lua flags=allow-oom
-- From here on nothing is admitted until grant-take.lua with this nonce: what the ledger holds is not
-- what is stored, or it never had a grant. Entries stay, and are corrected meanwhile. Sent twice it has
-- one effect; a later rebuild overtakes this one.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 the bank's generation, 2 nonce, 3 number of the grant that was seen, 4 nonce for a new life
-- Reply DONE, usage
--       KNOWN, usage: it has another grant by now | OTHER_LIFE, usage; nothing was changed by either
--@include ledger
local generation, nonce = text_arg(1, 'generation', 128), text_arg(2, 'nonce', 128)
local seen, life = whole_arg(3, 'seen'), text_arg(4, 'life', 128)
if S.gs ~= seen then return reply(CODE.KNOWN) end
if S.gg ~= '' and S.gg ~= generation then return reply(CODE.OTHER_LIFE) end
ensure_life(life)
S.rb, S.gg, S.gb = nonce, generation, 0
return reply(CODE.DONE)
