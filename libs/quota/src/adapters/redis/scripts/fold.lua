#!lua flags=allow-oom
-- Takes over what the bank admitted itself, and the part of the limit it was admitted from, in one
-- step; each batch once. Never refused by a limit: it states what is so. Open reservations stay.
--
-- KEYS  the tenant's eight, as in include/state.lua
-- ARGV  1 the bank's generation, 2 number of the batch, 3 bytes for the grant, 4 bytes charged without
--       a key, 5 bytes given back of those the ledger had charged so; then for each key, at most 1,000:
--       key, bytes or '' for removed, ms left to live or '' (0: expired meanwhile), version or 0
-- Reply DONE | LOST | OTHER_LIFE, usage | BEYOND_MAX, usage; nothing was changed but by DONE
--@include ledger
local generation, number, items = text_arg(1, 'generation', 128), whole_arg(2, 'number'), {}
local bytes, unkeyed, refund = whole_arg(3, 'bytes'), whole_arg(4, 'unkeyed'), whole_arg(5, 'refund')
if number < 1 then bad_argument('number') end
if #ARGV > 4005 or (#ARGV - 5) % 4 ~= 0 then bad_argument('items') end
for i = 6, #ARGV, 4 do
  local item = {
    key = text_arg(i, 'key'), bytes = optional_arg(i + 1, 'bytes'),
    ttl = optional_arg(i + 2, 'ttlMs'), version = whole_arg(i + 3, 'version'),
  }
  if now + (item.ttl or 0) > MAX then bad_argument('ttlMs') end
  items[#items + 1] = item
end

if S.gg ~= '' and S.gg ~= generation then return reply(CODE.OTHER_LIFE) end
if S.gs == 0 or S.rb ~= '' then return reply(CODE.LOST) end
if number <= S.fn then return reply(CODE.DONE) end

-- Older than what the key has, or than a removal that was seen while a write of it was on its way.
local function outdated(k, item)
  if k.entry and item.version < k.entry.version then return true end
  return item.bytes and item.version > 0 and item.version < k.version
end

-- What the ledger had charged is given back first: the bank's own charges were not part of it.
local freed, most = math.min(refund, S.k), S.gb + bytes
S.c, S.k = S.c - freed + unkeyed, S.k - freed + unkeyed
local keys = {}
for i, item in ipairs(items) do keys[i] = item.key end
open_keys(keys)
for _, item in ipairs(items) do
  local k = known[item.key]
  if not outdated(k, item) then
    local entry = item.bytes and item.ttl ~= 0 and {
      bytes = item.bytes, expiry = item.ttl and now + item.ttl or 0, version = item.version, meta = '',
    } or nil
    see_version(k, item.version)
    if entry or k.entry then change(k, set_entry, entry) end
  end
  most = math.max(most, S.c + S.r + S.u)
end
most = math.max(most, S.c + S.r + S.u)
if most > MAX then
  return { CODE.BEYOND_MAX, '0', '0', '0', '0' } -- reply() would write
end
S.gb, S.fn = S.gb + bytes, number
return reply(CODE.DONE)
