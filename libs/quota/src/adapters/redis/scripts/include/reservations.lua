--@include ledger
-- Records by id, stored as "state bytes decision a b keyed key". States: o open, c committed,
-- r released, f refused, d removed, b refunded, p put unmetered; a and b are what the reply said.
-- Of an open one a says that it is kept when it lapses, and b that it has lapsed.
-- All but open ones are marks that live for ten seconds, so that sending again has no effect. The ids
-- of writes, removals, refunds and puts have nothing to do with each other: w: d: b: p:.
local MARK_MS, FORGET_AT_ONCE = 10000, 64
-- A lapsed one's deadline is moved here: beyond every real one, in the order in which they lapsed.
local LAPSED = 2 ^ 52
local NO_DECISION = 9 -- the mark of a release that came before its reserve
local own_id -- the id this script settles itself; reaping leaves it alone

local function find_record(id)
  local text = redis.call('HGET', RESERVATIONS, id)
  if not text then return nil end
  local _, stop, state, bytes, decision, a, b, keyed =
    string.find(text, '^(%l) (%d+) (%d) (%d+) (%d+) ([01]) ')
  if not stop then error({ err = 'QUOTABROKEN reservation' }) end
  return {
    state = state, bytes = tonumber(bytes), decision = tonumber(decision), a = a, b = b,
    key = keyed == '1' and string.sub(text, stop + 1) or nil,
  }
end

local function put_record(id, record, index, life)
  local text = table.concat({
    record.state, digits(record.bytes), digits(record.decision), record.a or '0', record.b or '0',
    record.key and '1' or '0', record.key or '',
  }, ' ')
  later('HSET', RESERVATIONS, id, text)
  later('ZADD', index, digits(now + life), id)
end

-- Old marks go as new ones come, more at once than one, so that their number stays bounded.
local function forget_marks(max)
  local ids = redis.call('ZRANGEBYSCORE', MARKS, '-inf', digits(now), 'LIMIT', 0, max)
  later_all('HDEL', RESERVATIONS, ids)
  later_all('ZREM', MARKS, ids)
end

local function mark(id, state, record, a, b)
  forget_marks(FORGET_AT_ONCE)
  if record.state == 'o' then later('ZREM', DEADLINES, id) end
  put_record(id, {
    state = state, bytes = record.bytes or 0, decision = record.decision or NO_DECISION,
    a = a, b = b, key = record.key,
  }, MARKS, MARK_MS)
end

local function hold_bytes(record)
  if record.key then
    change(open_key(record.key), add_size, record.bytes)
  else
    S.r, S.ur = S.r + record.bytes, S.ur + record.bytes
  end
end

local function free_hold(record)
  if record.key then
    local k = open_key(record.key)
    change(k, drop_size, record.bytes)
    if record.b == '1' then
      k.lapsed, S.lc, S.lb = k.lapsed - 1, S.lc - 1, S.lb - record.bytes
      -- Sizes of one key need not fit a limit together; beyond 2^53 their sum is not exact.
      if S.lc == 0 then S.lb = 0 end
    end
  else
    S.r, S.ur = S.r - record.bytes, S.ur - record.bytes
  end
end

-- Its deadline has passed, and nobody knows what became of it: it is held until let-go.lua.
local function lapse(id, record)
  local k = open_key(record.key)
  k.lapsed, k.pending_changed = k.lapsed + 1, true
  S.ln = math.max(S.ln + 1, now)
  S.lc, S.lb = S.lc + 1, S.lb + record.bytes
  record.b = '1'
  put_record(id, record, DEADLINES, LAPSED + S.ln - now)
end
