--@include state
-- An entry is stored as "bytes expiry epoch version session[.written] meta": expiry 0 is never, epoch
-- is '-' or that of the unmetered bytes, session is the recount that counted it last, written is there
-- where a value came with it, and not in entries of before it was kept. Pending is stored as
-- "highest-version lapsed size size ...": how many of the sizes are of lapsed reservations.
local function parse_entry(text)
  if not text then return nil end
  local _, stop, bytes, expiry, epoch, version, session, written =
    string.find(text, '^(%d+) (%d+) (%S+) (%d+) (%d+)%.?(%d*) ')
  if not stop then error({ err = 'QUOTABROKEN entry' }) end
  return {
    bytes = tonumber(bytes), expiry = tonumber(expiry), epoch = tonumber(epoch),
    version = tonumber(version), session = tonumber(session), written = tonumber(written) or 0,
    meta = string.sub(text, stop + 1),
  }
end

local function parse_pending(text)
  local sizes, version, lapsed = {}, 0, 0
  if text then
    for n in string.gmatch(text, '%d+') do sizes[#sizes + 1] = tonumber(n) end
    version, lapsed = table.remove(sizes, 1) or 0, table.remove(sizes, 1) or 0
  end
  return sizes, version, lapsed
end

local function pack_entry(e)
  return table.concat({
    digits(e.bytes), digits(e.expiry), e.epoch and digits(e.epoch) or '-', digits(e.version),
    digits(e.session) .. (e.written > 0 and '.' .. digits(e.written) or ''), e.meta,
  }, ' ')
end

-- A write of the key is on its way, for all that is known.
local function is_open(k)
  return #k.sizes > k.lapsed
end

local function pack_pending(k)
  local words = { digits(k.version), digits(k.lapsed) }
  for i, size in ipairs(k.sizes) do words[i + 2] = digits(size) end
  return table.concat(words, ' ')
end
