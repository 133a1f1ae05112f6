--@include reap
-- The one rule, for reserve, check and commit.
local ALLOW, WARN, REJECT = 0, 1, 2
local BEFORE_DECIDING, BEFORE_REFUSING = 32, 1000

-- check sets this: it decides as if the unmetered entries were metered, and leaves them as they are.
local as_metered = false

local function counted_used()
  return S.c + S.r + (as_metered and S.u - S.o or 0)
end

local function counted_live(k)
  if as_metered then return k.entry and k.entry.bytes or 0 end
  return live_bytes(k)
end

-- Used once this write replaced the entry of its key, other open reservations still counted, and
-- whether it grows what the tenant holds. `own`: size of the write's own open reservation.
local function forecast(key, bytes, own)
  local used = counted_used()
  if not key then return used + bytes - (own or 0), bytes > (own or 0) end
  local k = open_key(key)
  local live = counted_live(k)
  local before, others = math.max(live, largest_open(k)), largest_open(k, own)
  return used - before + math.max(bytes, others), bytes > before
end

local function decide(used_after, grows, quota, hard)
  if used_after <= quota then return ALLOW end
  if used_after <= hard or not grows then return WARN end
  return REJECT
end

-- How far writes may go; a ledger that is being rebuilt does not know what is stored. Only an
-- enforcing write under a bank asks: for others the bank keeps nothing back.
local function granted(banked)
  if not banked then return math.huge end
  return S.rb == '' and S.gb or 0
end

-- A refusal must be true at this moment, and so must be that the grant is short: before either, all
-- that is due goes. When that takes more than one script should, `again` is true.
local function judge(key, bytes, own, quota, hard, grant)
  local used_after, grows = forecast(key, bytes, own)
  local decision, short = decide(used_after, grows, quota, hard), grows and used_after > grant
  if (decision ~= ALLOW or short) and reaped.more then
    reap(BEFORE_REFUSING)
    used_after, grows = forecast(key, bytes, own)
    decision, short = decide(used_after, grows, quota, hard), grows and used_after > grant
  end
  return decision, used_after, short, (decision == REJECT or short) and more_due()
end

-- While it is being rebuilt, what the ledger counts is no reason to refuse.
local function unsure(short)
  return short and S.rb ~= ''
end

-- What has lapsed may be nothing, and then there is room. `own`: the write's own record, if any.
local function undecided(used_after, hard, own)
  local others = S.lb - (own and own.b == '1' and own.bytes or 0)
  return used_after - others <= hard
end

local function grant_short(used_after)
  return reply(CODE.GRANT_SHORT, digits(math.min(used_after, MAX)), digits(S.gs))
end

-- Sums stay within what a double counts exactly, the unmetered bytes included.
local function beyond_max(used_after)
  return math.max(used_after, S.c + S.r) + S.u > MAX
end

-- Ms until enough entries will have expired to free `need` bytes, the write's own key left out (it
-- is counted in the forecast already); '' when at most 1,000 of them don't show it. Every refusal
-- may walk so far, so entries are only glanced at; of an opened one, reservations may just have lapsed.
local function retry_after(need, own_key)
  if S.c - S.k + (as_metered and S.u or 0) < need then return '' end
  local anything_open = redis.call('EXISTS', PENDING) == 1
  for offset = 0, 900, 100 do
    local keys = redis.call('ZRANGEBYSCORE', EXPIRIES, '(' .. digits(now), '+inf', 'LIMIT', offset, 100)
    if #keys == 0 then break end
    local entries = redis.call('HMGET', ENTRIES, unpack(keys))
    local open = anything_open and redis.call('HMGET', PENDING, unpack(keys))
    for i, key in ipairs(keys) do
      local bytes, expiry, epoch = string.match(entries[i] or '', '^(%d+) (%d+) (%S+)')
      if bytes and key ~= own_key and (as_metered or tonumber(epoch) ~= S.ue) then
        local k = known[key] or open and open[i] and { sizes = (parse_pending(open[i])) }
        local held = k and largest_open(k) or 0
        need = need - math.max(0, tonumber(bytes) - held)
        if need <= 0 then return digits(tonumber(expiry) - now) end
      end
    end
  end
  return ''
end
