--@include keys
-- The end of every script: what was decided is written, and the reply made.
local function write_keys()
  local set, gone, valueless, indexed, unindexed, pending, idle = {}, {}, {}, {}, {}, {}, {}
  local function push(list, a, b)
    list[#list + 1] = a
    list[#list + 1] = b
  end
  for key, k in pairs(known) do
    if k.entry_changed then
      local expiry = k.entry and k.entry.expiry or 0
      if k.entry then push(set, key, pack_entry(k.entry)) else push(gone, key) end
      if expiry > 0 and (expiry ~= k.old_expiry) then push(indexed, digits(expiry), key) end
      if expiry == 0 and k.old_expiry > 0 then push(unindexed, key) end
      if k.body then
        later('HSET', VALUES, key, k.body)
      elseif k.had_entry and not k.keep_value then
        push(valueless, key)
      end
    end
    if k.pending_changed then
      if #k.sizes > 0 then push(pending, key, pack_pending(k)) else push(idle, key) end
    end
  end
  later_all('HSET', ENTRIES, set)
  later_all('HDEL', ENTRIES, gone)
  later_all('HDEL', VALUES, valueless)
  later_all('ZADD', EXPIRIES, indexed)
  later_all('ZREM', EXPIRIES, unindexed)
  later_all('HSET', PENDING, pending)
  later_all('HDEL', PENDING, idle)
end

-- Reply: code, committed, reserved, unmetered, defects found, then what the script adds.
local function reply(code, ...)
  write_keys()
  local defects = write_state()
  return { code, digits(S.c), digits(S.r), digits(S.u), digits(defects), ... }
end
