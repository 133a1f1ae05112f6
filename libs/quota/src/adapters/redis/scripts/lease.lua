#!lua flags=allow-oom
-- Takes a name for a while, keeps it, or gives it up; each only while nobody else has it.
--
-- KEYS  1 the name
-- ARGV  1 the holder's token, 2 ms from now, 0 to give it up
-- Reply 1 it is the holder's (or was given up), 0 somebody else has it
--@include args
local token, ms = text_arg(1, 'token', 128), whole_arg(2, 'ms')
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= token then return 0 end
if ms > 0 then
  redis.call('SET', KEYS[1], token, 'PX', digits(ms))
elseif holder then
  redis.call('DEL', KEYS[1])
end
return 1
