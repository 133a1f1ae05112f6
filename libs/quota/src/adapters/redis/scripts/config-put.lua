#!lua
-- Leaves a copy of a tenant's configuration, unless a newer one is there or was announced. A copy
-- that cannot be read counts as none.
--
-- KEYS  1 copy, 2 the tenant's state
-- ARGV  1 stamp, 2 ms to live, 3 the copy: JSON that begins with {"stamp":N
-- Reply 1 stored, 0 not
--@include args
local stamp, life, copy = whole_arg(1, 'stamp'), whole_arg(2, 'ttlMs'), text_arg(3, 'copy', 4096)
if life < 1 then bad_argument('ttlMs') end
local present = string.match(redis.call('GET', KEYS[1]) or '', '^{"stamp":(%d+)[,}]')
local announced = redis.call('HGET', KEYS[2], 'cv')
if stamp < (tonumber(present) or 0) or stamp < (tonumber(announced) or 0) then return 0 end
redis.call('SET', KEYS[1], copy, 'PX', digits(life))
return 1
