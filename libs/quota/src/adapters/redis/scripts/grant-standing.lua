#!lua flags=no-writes
-- What the ledger knows of its bank.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- Reply DONE, its own generation or '', the bank's or '', number and bytes of the grant (0: none), last
--       batch, 1 while it is being rebuilt
--@include state
return {
  CODE.DONE, S.g or '', S.gg, digits(S.gs), digits(S.gb), digits(S.fn), S.rb == '' and '0' or '1',
}
