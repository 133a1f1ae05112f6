#!lua flags=no-writes
-- What the ledger knows of its bank.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- Reply DONE, the bank's generation or '', number and bytes of the grant (0: none), last batch
--@include state
return { CODE.DONE, S.gg, digits(S.gs), digits(S.gb), digits(S.fn) }
