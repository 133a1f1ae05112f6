--@include verdict
-- The arguments that reserve and check share. ARGV[1] id (any text for check), 2 keyed, 3 key,
-- 4 bytes, 5 quota, 6 hard limit, 7 stamp, 8 enforce.
local id, key = text_arg(1, 'id', 128), key_arg(2)
local bytes, quota, hard = whole_arg(4, 'bytes'), whole_arg(5, 'quota'), whole_arg(6, 'hard')
local stamp, enforce = whole_arg(7, 'stamp'), flag_arg(8, 'enforce')
if quota > hard then bad_argument('hard') end
