#!lua flags=allow-oom
-- Takes a grant that is later than the one there is, or the one that ends a rebuild. A ledger that
-- knows no grant may have lost what it knew, and takes none but by a rebuild.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 the bank's generation, 2 number, 3 bytes, 4 nonce of the rebuild or ''
-- Reply DONE | KNOWN | LOST | OTHER_LIFE, usage; nothing was changed but by DONE
--@include ledger
local generation, nonce = text_arg(1, 'generation', 128), ARGV[4]
local number, bytes = whole_arg(2, 'seq'), whole_arg(3, 'bytes')
if number < 1 then bad_argument('seq') end
if not nonce or #nonce > 128 then bad_argument('nonce') end
if S.gg == '' then return reply(CODE.LOST) end
if S.gg ~= generation then return reply(CODE.OTHER_LIFE) end
if S.rb ~= '' then
  if S.rb ~= nonce then return reply(CODE.LOST) end
else
  if S.gs == 0 then return reply(CODE.LOST) end
  if number <= S.gs then return reply(CODE.KNOWN) end
end
S.gs, S.gb, S.rb = number, bytes, ''
return reply(CODE.DONE)
