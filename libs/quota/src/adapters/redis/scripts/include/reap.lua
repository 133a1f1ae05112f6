--@include reservations
-- What is due goes, in bounded steps. reap() may be called again in one script: it goes on where it
-- stopped, since the indexes change only at the end.
local reaped = { expired = 0, lapsed = 0, more = false }
local seen_entries, seen_ids = 0, 0

local function due(index, offset, max)
  return redis.call('ZRANGEBYSCORE', index, '-inf', digits(now), 'LIMIT', offset, max)
end

local function reap_entries(max)
  local keys = due(EXPIRIES, seen_entries, max)
  seen_entries = seen_entries + #keys
  open_keys(keys)
  for _, key in ipairs(keys) do
    local k = known[key]
    if k.old_expiry == 0 then
      later('ZREM', EXPIRIES, key)
    elseif k.old_expiry <= now then
      reaped.expired = reaped.expired + 1
    else
      later('ZADD', EXPIRIES, digits(k.old_expiry), key)
    end
  end
  return #keys == max
end

local function reap_records(max)
  local ids = due(DEADLINES, seen_ids, max)
  seen_ids = seen_ids + #ids
  local gone, records, keys = {}, {}, {}
  for _, id in ipairs(ids) do
    if id ~= own_id then
      local record = find_record(id)
      if record then
        record.id = id
        records[#records + 1] = record
        if record.key then keys[#keys + 1] = record.key end
      else
        gone[#gone + 1] = id
      end
    end
  end
  open_keys(keys)
  for _, record in ipairs(records) do
    local kept = record.a == '1'
    if kept and record.key then
      lapse(record.id, record)
    else
      if kept then S.ls = S.ls + 1 end
      free_hold(record)
      gone[#gone + 1] = record.id
    end
  end
  reaped.lapsed = reaped.lapsed + #records
  later_all('HDEL', RESERVATIONS, gone)
  later_all('ZREM', DEADLINES, gone)
  return #ids == max
end

local function reap(max)
  local entries, records = reap_entries(max), reap_records(max)
  reaped.more = entries or records
end

-- For a report that must be right: is anything left?
local function more_due()
  return reaped.more
    and (#due(EXPIRIES, seen_entries, 1) > 0 or #due(DEADLINES, seen_ids, 1) > 0)
end
