"""The shared budget for a server that runs Lua (Valkey, Redis): one question, answered at once.

The algorithm and its words are those of ``shared_budget``, line by line; a test holds both equal.
"""

from __future__ import annotations

from typing import Final

from anyfast_async._core.limits.shared_script import QUESTION

SCRIPT: Final = (
    QUESTION
    + """
local KEPT, CHOOSY, RETELL, SET_BACK, YEAR = 3600000000, 2000000, 6500000, 10000000, 31622400000
local STATE, LEASES, CLIENTS = KEYS[1] .. ':state', KEYS[1] .. ':leases', KEYS[1] .. ':clients'
local function amounts() return {argument(), argument(), argument()} end

local number, lease, born_before, leaving = argument(), argument(), argument(), argument()
local limits, total, held, least, want = amounts(), amounts(), amounts(), amounts(), amounts()

local NAMES = {'born', 'asked', 'opens', 'short', 'tokens', 'nanos', 'requests'}
local found, state = redis.call('HMGET', STATE, 'refused', unpack(NAMES)), {}
local refused = found[1] or ''
for i, name in ipairs(NAMES) do state[name] = tonumber(found[i + 1] or 0) end
if state.born == 0 then redis.call('DEL', LEASES, CLIENTS) end
local drawn = {state.tokens, state.nanos, state.requests}

if now < state.asked - SET_BACK then
  state.opens, state.short = 0, 0
  for _, name in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do redis.call('ZADD', LEASES, now, name) end
else
  now = math.max(now, state.asked)
end
if state.born == 0 then state.born = now end
state.asked = now
for _, name in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now - KEPT)) do
  redis.call('ZREM', LEASES, name)
  redis.call('HDEL', CLIENTS, name)
end

local function numbers(name)
  local text, values = redis.call('HGET', CLIENTS, name), {}
  if not text then return nil end
  for one in string.gmatch(text, '%-?%d+') do values[#values + 1] = tonumber(one) end
  return values
end

local granted = {0, 0, 0}
local function grant()
  if want[1] == 0 and want[2] == 0 and want[3] == 0 or now < state.opens then return end
  for i = 1, 3 do
    if limits[i] >= 0 and least[i] > math.max(0, limits[i] - drawn[i]) then
      state.short, refused = now + CHOOSY, client
      return
    end
  end
  for i = 1, 3 do
    granted[i] = want[i]
    if limits[i] >= 0 then granted[i] = math.min(want[i], math.max(0, limits[i] - drawn[i])) end
  end
end

local known = born_before == 0 or born_before == state.born
if not known then state.opens = math.max(state.opens, state.born + RETELL) end
local said = numbers(client)
if known and (not said or number > said[1]) then
  said = said or {0, 0, 0, 0, 0, 0, 0}
  for i = 1, 3 do drawn[i] = drawn[i] + total[i] - said[i + 1] end
  grant()
  local values = {number}
  for i = 1, 3 do
    drawn[i] = drawn[i] + granted[i]
    values[i + 1] = total[i] + granted[i]
    values[i + 4] = leaving == 1 and 0 or held[i] + granted[i]
  end
  for i = 1, 7 do values[i] = string.format('%.0f', values[i]) end
  redis.call('HSET', CLIENTS, client, table.concat(values, ' '))
  redis.call('ZADD', LEASES, leaving == 1 and now or now + lease, client)
end

local outstanding, others = {0, 0, 0}, 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', LEASES, string.format('(%.0f', now), '+inf')) do
  local values = name ~= client and numbers(name)
  if values then
    others = others + 1
    for i = 1, 3 do outstanding[i] = outstanding[i] + values[i + 4] end
  end
end
local short = now < state.short and client ~= refused and 1 or 0
state.tokens, state.nanos, state.requests = drawn[1], drawn[2], drawn[3]
local values = {'refused', refused}
for _, name in ipairs(NAMES) do
  values[#values + 1] = name
  values[#values + 1] = string.format('%.0f', state[name])
end
redis.call('HSET', STATE, unpack(values))
for _, key in ipairs({STATE, LEASES, CLIENTS}) do redis.call('PEXPIRE', key, YEAR) end
local answer = {state.born, math.max(0, state.opens - now), others, short}
for i = 1, 3 do
  answer[i + 4] = granted[i]
  answer[i + 7] = limits[i] < 0 and 0 or limits[i] - drawn[i]
  answer[i + 10] = outstanding[i]
end
for i, one in ipairs(answer) do answer[i] = string.format('%.0f', one) end
return table.concat(answer, ' ')
"""
)
