"""The shared quota for a server that runs Lua (Valkey, Redis): one question, answered at once.

The algorithm and its words are those of ``shared_quota``, line by line; a test holds both equal. It runs as one
command, so no other client comes in between, on the clock of the server.
"""

from __future__ import annotations

from typing import Final

QUESTION: Final = """
-- Whole numbers only. All digits of one survive as an argument or a result of a command, and in string.format('%.0f');
-- tostring, .. and cjson keep fourteen.
local client = ARGV[1]
-- All numbers are one argument, and one result: a client takes a while for each of either.
local next_one = string.gmatch(ARGV[2], '%S+')
local function argument() return tonumber(next_one()) end
local now = argument()
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
"""
"""How every script begins: who asks, and what. A time of 0 stands for the server's own."""

SCRIPT: Final = (
    QUESTION
    + """
local SLOT, WIDTH, GRAIN, BLOCK = 100000, 612, 250000, 10000
local SEARCH = 2 * WIDTH
local GRACE, SILENCE, SET_BACK, POLITE = 3500000, 900000, 10000000, 8

local prefix = KEYS[1]
local STATE, LEASES, HELD = prefix .. ':state', prefix .. ':leases', prefix .. ':held'
local WANT, QUEUE = prefix .. ':want', prefix .. ':queue'
local SAID, NEWS = prefix .. ':said:', prefix .. ':news:'
local number, request_limit, token_limit, places = argument(), argument(), argument(), argument()
local interval, lease, busy, want, gives = argument(), argument(), argument(), argument(), argument()
local born_before, seen, away, leaving = argument(), argument(), argument(), argument()

-- state ---------------------------------------------------------------------------------------------------------------

local NAMES = {'born', 'asked', 'woke', 'opens', 'full', 'sequence', 'free_slot', 'held', 'kept',
  'request_top', 'request_total', 'token_top', 'token_total'}
local function read_state()
  local values, state = redis.call('HMGET', STATE, unpack(NAMES)), {}
  for i, name in ipairs(NAMES) do state[name] = tonumber(values[i] or 0) end
  return state
end
local state = read_state()
local restored = born_before == state.born and seen > state.asked
-- A server that is short of memory may throw any key away: what is left does not fit together, and loops have no end.
local function is_there(...) return redis.call('EXISTS', ...) == select('#', ...) end
local whole = state.born > 0
  and (state.request_total == 0 or is_there(prefix .. ':requests'))
  and (state.token_total == 0 or is_there(prefix .. ':tokens'))
  and (state.held == 0 or is_there(LEASES, HELD))
  and (not is_there(QUEUE) or is_there(WANT, HELD))
if now < state.asked - SET_BACK or restored or not whole then -- the clock was set, or a part was lost
  for _, name in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do redis.call('DEL', SAID .. name) end
  redis.call('DEL', STATE, LEASES, HELD, WANT, QUEUE, prefix .. ':requests', prefix .. ':tokens')
  state = read_state()
end
if now < state.asked then now = state.asked end

-- tracks --------------------------------------------------------------------------------------------------------------

local function track(name, key)
  return {top = state[name .. '_top'], total = state[name .. '_total'], key = prefix .. key, slots = {}, changed = {}}
end
local requests, tokens = track('request', ':requests'), track('token', ':tokens')
local tracks = {requests, tokens}

local function at(self, slot)
  local amount = self.slots[slot]
  if not amount then
    amount = tonumber(redis.call('HGET', self.key, slot) or 0)
    self.slots[slot] = amount
  end
  return amount
end

local function rise(self, top)
  for slot = self.top - WIDTH + 1, math.min(self.top, top - WIDTH) do
    if self.total == 0 then break end
    self.total = self.total - at(self, slot)
  end
  self.top = math.max(self.top, top)
end

local function add(self, slot, amount)
  local old = at(self, slot)
  local new = math.max(0, old + amount)
  self.slots[slot], self.changed[slot] = new, true
  if self.top - WIDTH < slot and slot <= self.top then self.total = self.total + new - old end
end

local function find(self, slot, amount, limit)
  local total, last = self.total, self.top
  if slot > last or (total > 0 and total + amount > limit) then
    while total > 0 and (last < slot or total + amount > limit) do
      total = total - at(self, last - WIDTH + 1)
      last = last + 1
    end
    return math.max(last, slot)
  end
  while last > math.max(slot, self.top - SEARCH) do
    total = total + at(self, last - WIDTH) - at(self, last)
    if total > 0 and total + amount > limit then break end
    last = last - 1
  end
  return last
end

local function fit(slot)
  return math.max(0, math.floor((slot + 1) * SLOT / interval) - math.floor(slot * SLOT / interval))
end

-- who asks ------------------------------------------------------------------------------------------------------------

if now - math.max(state.asked, state.opens) > SILENCE then state.woke = now end
if state.born == 0 then state.born = now end
local known = born_before == 0 or born_before == state.born
if not known then state.opens = math.max(state.opens, state.born + GRACE) end
if away == 1 and now < state.woke + GRACE then state.opens = state.woke + GRACE end
state.asked = now

local newest = math.floor(now / SLOT)
local first = newest - WIDTH + 1
local untouched = math.max(requests.top, tokens.top, state.free_slot + WIDTH) < first
for _, one in ipairs(tracks) do rise(one, newest) end
if untouched then
  redis.call('DEL', requests.key, tokens.key)
  state.kept = 0
else
  for slot = state.free_slot, first - 1 do
    redis.call('HDEL', requests.key, slot)
    redis.call('HDEL', tokens.key, slot)
  end
end
state.free_slot = first

local function held_by(name) return tonumber(redis.call('HGET', HELD, name) or 0) end

local function remove(name)
  state.held = state.held - held_by(name)
  redis.call('ZREM', LEASES, name)
  redis.call('ZREM', QUEUE, name)
  redis.call('HDEL', HELD, name)
  redis.call('HDEL', WANT, name)
  redis.call('DEL', SAID .. name)
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now)) do remove(name) end
if redis.call('ZADD', LEASES, now + lease, client) == 1 then state.kept = 0 end -- keys may be new, and without an end
local clients = redis.call('ZCARD', LEASES)

local wanted = {}
for i = 1, argument() do wanted[i] = argument() end

local function correct_one(slot, request, token)
  if slot < first then return end
  add(requests, slot, request)
  add(tokens, slot, token)
  state.full = math.min(state.full, slot)
end

local function correct()
  for _ = 1, argument() do
    local slot, request, token = argument(), argument(), argument()
    correct_one(slot, request, token)
  end
  for _ = 1, argument() do
    local age, request, token = argument(), argument(), argument()
    correct_one(math.floor((now - age) / SLOT), request, token)
  end
end

local function others() return redis.call('ZCARD', QUEUE) - (redis.call('ZSCORE', QUEUE, client) and 1 or 0) end

local function line_up(name)
  state.sequence = state.sequence + 1
  redis.call('ZADD', QUEUE, state.sequence, name)
end

local told = {}
local function tell(name)
  if told[name] then return end
  told[name] = true
  redis.call('RPUSH', NEWS .. name, 1)
  redis.call('LTRIM', NEWS .. name, -1, -1)
  redis.call('PEXPIRE', NEWS .. name, math.floor(lease / 1000))
end

local function place()
  local held = held_by(client)
  local keep = math.min(want, math.max(0, held - gives))
  redis.call('HSET', HELD, client, keep)
  if want <= keep or keep < held then redis.call('ZREM', QUEUE, client) end
  if want > keep then
    redis.call('HSET', WANT, client, want)
    if not redis.call('ZSCORE', QUEUE, client) then line_up(client) end
  end
  state.held = state.held - held + keep
  local free = places - state.held
  local part, passed = math.max(1, math.floor(places / clients)), 0
  while free > 0 do
    local name = redis.call('ZRANGE', QUEUE, 0, 0)[1]
    if not name then break end
    redis.call('ZREM', QUEUE, name)
    local behind = redis.call('ZCARD', QUEUE)
    if held_by(name) >= part and passed < math.min(POLITE, behind) then
      line_up(name)
      passed = passed + 1
    else
      passed = 0
      local missing = tonumber(redis.call('HGET', WANT, name)) - held_by(name)
      local given = 1
      if behind == 0 then given = math.min(free, missing) end
      redis.call('HINCRBY', HELD, name, given)
      state.held = state.held + given
      free = free - given
      if missing > given then line_up(name) end
      if name ~= client then tell(name) end
    end
  end
  if want > held_by(client) and held_by(client) < part then
    for _, name in ipairs(redis.call('ZRANGE', QUEUE, 0, POLITE - 1)) do
      if held_by(name) > part then tell(name) end
    end
  end
end

local booked = {}
local function book()
  local room = math.min(#wanted, held_by(client) - busy)
  local fair, taken = math.floor((token_limit - tokens.total) / (2 * clients)), 0
  local first_time
  for i = 1, room do
    local amount, slot = wanted[i], newest
    if interval > 0 then
      slot = math.max(slot, state.full)
      while at(requests, slot) >= fit(slot) do slot = slot + 1 end
      state.full = slot
    end
    if request_limit >= 0 then slot = find(requests, slot, 1, request_limit) end
    if token_limit >= 0 then slot = find(tokens, slot, amount, token_limit) end
    while interval > 0 and at(requests, slot) >= fit(slot) do slot = slot + 1 end
    local time = math.max(now, slot * SLOT + at(requests, slot) * interval)
    if i == 1 then first_time = time end
    if i > 1 and time > math.max(now + math.floor(GRAIN / clients), first_time + BLOCK) then break end
    if i > 1 and token_limit >= 0 and taken + amount > fair then break end
    if request_limit >= 0 then
      rise(requests, slot)
      add(requests, slot, 1)
    end
    if token_limit >= 0 then
      rise(tokens, slot)
      add(tokens, slot, amount)
    end
    taken = taken + amount
    booked[#booked + 1] = time
    booked[#booked + 1] = slot
  end
end

local said = redis.call('HMGET', SAID .. client, 'number', 'booked')
if tonumber(said[1] or -1) == number then
  for one in string.gmatch(said[2], '%d+') do booked[#booked + 1] = tonumber(one) end
else
  if known then correct() end
  place()
  if known and now >= state.opens and leaving == 0 then book() end
  local texts = {}
  for i, one in ipairs(booked) do texts[i] = string.format('%.0f', one) end
  redis.call('HSET', SAID .. client, 'number', number, 'booked', table.concat(texts, ' '))
  redis.call('PEXPIRE', SAID .. client, math.ceil(lease / 1000))
end

-- the answer ----------------------------------------------------------------------------------------------------------

local expires, nearest = 0, redis.call('ZRANGE', LEASES, 0, 1, 'WITHSCORES')
for i = 1, #nearest, 2 do
  if nearest[i] ~= client and expires == 0 then expires = math.max(1, tonumber(nearest[i + 1]) - now) end
end
local answer = {
  state.born, math.max(0, state.opens - now), held_by(client), others(), clients, expires, requests.total, tokens.total,
  state.asked,
}
for i, one in ipairs(booked) do
  answer[#answer + 1] = i % 2 == 1 and one - now or one
end
if leaving == 1 then remove(client) end

for _, one in ipairs(tracks) do
  local changes = {}
  for slot in pairs(one.changed) do
    changes[#changes + 1] = slot
    changes[#changes + 1] = one.slots[slot]
  end
  if #changes > 0 then redis.call('HSET', one.key, unpack(changes)) end
end
state.request_top, state.request_total = requests.top, requests.total
state.token_top, state.token_total = tokens.top, tokens.total
local kept = math.max(newest, requests.top, tokens.top) * SLOT + lease + 2 * WIDTH * SLOT
local all = {STATE, LEASES, HELD, WANT, QUEUE, requests.key, tokens.key}
if kept > state.kept then
  state.kept = kept + WIDTH * SLOT
  for _, key in ipairs(all) do redis.call('PEXPIRE', key, math.ceil((state.kept - now) / 1000)) end
end
local values = {}
for _, name in ipairs(NAMES) do
  values[#values + 1] = name
  values[#values + 1] = state[name]
end
redis.call('HSET', STATE, unpack(values))
for i, one in ipairs(answer) do answer[i] = string.format('%.0f', one) end
return table.concat(answer, ' ')
"""
)
