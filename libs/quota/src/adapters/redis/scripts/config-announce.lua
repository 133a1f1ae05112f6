#!lua flags=allow-oom
-- After a change, in one step: leaves the copy, raises the ledger's stamp, so that reserves with an
-- older one answer STALE, and tells every instance. Never backwards. A full Redis does not refuse
-- it: what is announced must hold.
--
-- KEYS  1 copy, 2 the tenant's state
-- ARGV  1 stamp, 2 ms to live, 3 the copy: JSON that begins with {"stamp":N, 4 channel, 5 tenant
-- Reply the stamp that holds
--@include args
local stamp, life, copy = whole_arg(1, 'stamp'), whole_arg(2, 'ttlMs'), text_arg(3, 'copy', 4096)
local channel, tenant = text_arg(4, 'channel'), text_arg(5, 'tenant')
if life < 1 then bad_argument('ttlMs') end
local present = string.match(redis.call('GET', KEYS[1]) or '', '^{"stamp":(%d+)[,}]')
local holds = math.max(stamp, tonumber(redis.call('HGET', KEYS[2], 'cv')) or 0)
if stamp == holds and stamp >= (tonumber(present) or 0) then
  redis.call('SET', KEYS[1], copy, 'PX', digits(life))
end
redis.call('HSET', KEYS[2], 'cv', digits(holds))
redis.call('PUBLISH', channel, digits(holds) .. ' ' .. tenant)
return digits(holds)
