-- Arguments are text. tonumber() would take nan, inf, 0x10, 1e3 and ' 5', and nan passes every
-- comparison; so only plain decimal digits up to 2^53 - 1 pass here. A script reads all of its
-- arguments before it does anything else. Raises QUOTAARG with the name of the bad one.
local MAX = 9007199254740991

local function bad_argument(name)
  error({ err = 'QUOTAARG ' .. name })
end

local function text_arg(i, name, longest)
  local text = ARGV[i]
  if not text or text == '' or #text > (longest or 512) then bad_argument(name) end
  return text
end

local function whole_arg(i, name)
  local text = ARGV[i]
  if not text or #text > 16 or not string.find(text, '^%d+$') then bad_argument(name) end
  local n = tonumber(text)
  if n > MAX then bad_argument(name) end
  return n
end

-- The empty string stands for "absent".
local function optional_arg(i, name)
  if ARGV[i] == '' then return nil end
  return whole_arg(i, name)
end

local function flag_arg(i, name)
  if ARGV[i] ~= '0' and ARGV[i] ~= '1' then bad_argument(name) end
  return ARGV[i] == '1'
end

-- '0' or '1' for "has a key", then the key.
local function key_arg(i)
  if flag_arg(i, 'keyed') then return text_arg(i + 1, 'key') end
  if ARGV[i + 1] ~= '' then bad_argument('key') end
  return nil
end

-- Numbers leave Lua this way only: tostring() writes 1e+15 from fifteen digits on.
local function digits(n)
  return string.format('%.0f', n)
end
