--@include args
-- The tenant's sums (docs/ledger.md), the server's clock, and the writes of this script. Writes wait
-- until all is decided: a script that fails before then has changed nothing.
--   g generation   cv stamp        c committed   r reserved   k unkeyed   ur reserved without a key
--   u unmetered    ue epoch: an entry is unmetered while its mark is the present epoch
--   o what reserved falls by when the unmetered entries become metered: the sum, over their keys,
--     of min(entry, largest open reservation)
--   rs, rc, ra, rn recount under way: session, cursor, bytes and entries counted (recount-page.lua)
--   gs, gb, gg what a bank has granted: number (0: nothing), bytes, the tenant's life by the bank
--   rb nonce of the rebuild under way, '' none   fn number of the last batch folded in
--   ls lives that were ended, and kept reservations without a key that lapsed, not looked after since (settled.lua)
--   wn number of the last value that was written: at least the ms of then, and never given twice
--   lc, lb, ln reservations that have lapsed and are held: count, bytes, and number of the last one
local STATE, ENTRIES, EXPIRIES, RESERVATIONS, DEADLINES, MARKS, PENDING, VALUES =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]

local CODE = {
  RESERVED = 1, REJECTED = 2, STALE = 3, AGAIN = 4, CONFLICT = 5, BEYOND_MAX = 6, COMMITTED = 7,
  REFUSED = 8, BOUNCED = 9, RELEASED = 10, SETTLED = 11, DONE = 12, MORE = 13,
  GRANT_SHORT = 14, KNOWN = 15, LOST = 16, OTHER_LIFE = 17, UNDECIDED = 18,
}

local FIELDS = {
  'g', 'cv', 'c', 'r', 'k', 'ur', 'u', 'ue', 'o', 'rs', 'rc', 'ra', 'rn', 'gs', 'gb', 'gg', 'rb', 'fn',
  'ls', 'lc', 'lb', 'ln', 'wn',
}
local TEXTS = { g = '', rc = '0', gg = '', rb = '' } -- and what they are when not stored
local SUMS = { 'c', 'r', 'k', 'ur', 'u', 'o', 'ra', 'rn', 'lc', 'lb' }

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local stored = redis.call('HMGET', STATE, unpack(FIELDS))
local S = {}
for i, field in ipairs(FIELDS) do S[field] = tonumber(stored[i]) or 0 end
S.g, S.rc, S.gg, S.rb = stored[1], stored[11] or '0', stored[16] or '', stored[17] or ''

-- A name for a new life, never given before, whatever was lost: by time, and by the write's own id.
local function ensure_life(id)
  if S.g then return end
  S.g = clock[1] .. '.' .. clock[2] .. '-' .. string.sub(redis.sha1hex(id), 1, 8)
end

-- Unmetered entries become metered, all at once, without walking them.
local function meter_all()
  if S.u == 0 and S.o == 0 then return end
  S.c, S.r, S.u, S.o, S.ue = S.c + S.u, S.r - S.o, 0, 0, S.ue + 1
end

local writes = {}
local function later(...)
  writes[#writes + 1] = { ... }
end

-- One command for many fields, in parts that Lua's stack can hold.
local function later_all(command, key, list)
  for i = 1, #list, 1000 do
    later(command, key, unpack(list, i, math.min(i + 999, #list)))
  end
end

-- A sum below zero is a defect of ours: it is reported with the reply and set to zero, so that
-- giving back still works. Returns how many there were.
local function write_state()
  local defects, changed = 0, {}
  for _, field in ipairs(SUMS) do
    if S[field] < 0 then S[field], defects = 0, defects + 1 end
  end
  for i, field in ipairs(FIELDS) do
    local value = S[field]
    if type(value) == 'number' then value = digits(value) end
    if value and value ~= (stored[i] or TEXTS[field] or '0') then
      changed[#changed + 1] = field
      changed[#changed + 1] = value
    end
  end
  if #changed > 0 then later('HSET', STATE, unpack(changed)) end
  for _, write in ipairs(writes) do redis.call(unpack(write)) end
  return defects
end
