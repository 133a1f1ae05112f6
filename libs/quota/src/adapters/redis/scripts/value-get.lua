#!lua flags=allow-oom
-- The live value of a key.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 '1', 2 key, 3 bytes of a value that is sent along at most
-- Reply DONE, usage, then nothing, or: expires at or '0', meta, bytes, and the body unless too large
--@include ledger
local key, inline = key_arg(1), whole_arg(3, 'inline')
if not key then bad_argument('key') end
local entry = S.g and open_key(key).entry
if not entry then return reply(CODE.DONE) end
local size = redis.call('HSTRLEN', VALUES, key)
if size > inline then return reply(CODE.DONE, digits(entry.expiry), entry.meta, digits(size)) end
local body = redis.call('HGET', VALUES, key)
if not body then return reply(CODE.DONE) end
return reply(CODE.DONE, digits(entry.expiry), entry.meta, digits(size), body)
