--@include formats
-- One key's place in the ledger: its entry and the sizes of its reservations, open and lapsed. Every change of
-- one goes through change(), which keeps the tenant's sums equal to
--   exposure = max(live, sizes)   hold = exposure - live.
local known = {}

local function unmetered(entry)
  return entry.epoch ~= nil and entry.epoch == S.ue
end

local function live_bytes(k)
  if k.entry and not unmetered(k.entry) then return k.entry.bytes end
  return 0
end

-- The largest reservation, one of the size `without` left out.
local function largest_open(k, without)
  local top = 0
  for _, size in ipairs(k.sizes) do
    if size == without then without = nil elseif size > top then top = size end
  end
  return top
end

local function add_to_sums(k, sign)
  local live, top = live_bytes(k), largest_open(k)
  S.c = S.c + sign * live
  S.r = S.r + sign * (math.max(live, top) - live)
  if not k.entry then return end
  if unmetered(k.entry) then
    S.u = S.u + sign * k.entry.bytes
    S.o = S.o + sign * math.min(k.entry.bytes, top)
  end
  if S.rs > 0 and k.entry.session == S.rs then
    S.ra, S.rn = S.ra + sign * k.entry.bytes, S.rn + sign
  end
end

local function change(k, apply, ...)
  add_to_sums(k, -1)
  apply(k, ...)
  add_to_sums(k, 1)
end

local function set_entry(k, entry)
  if entry then entry.session, entry.written = S.rs, 0 end
  k.entry, k.entry_changed = entry, true
end

-- Of the entry that was just set. Its number is above all that the tenant's entries ever had.
local function put_value(k, body)
  S.wn = math.max(S.wn + 1, now)
  k.body, k.entry.written = body, S.wn
end

local function add_size(k, size)
  k.sizes[#k.sizes + 1], k.pending_changed = size, true
end

local function drop_size(k, size)
  for i, n in ipairs(k.sizes) do
    if n == size then
      table.remove(k.sizes, i)
      k.pending_changed = true
      return
    end
  end
end

-- Remembered only as long as reservations of the key are held.
local function see_version(k, version)
  if version and #k.sizes > 0 and version > k.version then
    k.version, k.pending_changed = version, true
  end
end

local function adopt(key, entry_text, pending_text)
  local k = { key = key, entry = parse_entry(entry_text) }
  k.sizes, k.version, k.lapsed = parse_pending(pending_text)
  k.had_entry, k.old_expiry = k.entry ~= nil, k.entry and k.entry.expiry or 0
  known[key] = k
  if k.old_expiry > 0 and k.old_expiry <= now then change(k, set_entry, nil) end
  return k
end

local function open_key(key)
  return known[key]
    or adopt(key, redis.call('HGET', ENTRIES, key), redis.call('HGET', PENDING, key))
end

local function open_keys(list)
  local unread = {}
  for _, key in ipairs(list) do
    if not known[key] then unread[#unread + 1] = key end
  end
  for i = 1, #unread, 1000 do
    local last = math.min(i + 999, #unread)
    local entries = redis.call('HMGET', ENTRIES, unpack(unread, i, last))
    local pending = redis.call('HMGET', PENDING, unpack(unread, i, last))
    for j = i, last do
      local key = unread[j]
      if not known[key] then adopt(key, entries[j - i + 1], pending[j - i + 1]) end
    end
  end
end
