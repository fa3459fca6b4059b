"""What Redis does in one step, so that two processes cannot both be first.

All times are by the clock of Redis, in milliseconds, so that machines need not agree on theirs.
``resting`` holds deployments by the end of their cooldown, until they are found well; ``probes``
holds those that are being probed, by the time when nobody believes in the probe any more.
"""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

LIST = (
    _NOW
    + """
local found, resting = {}, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #resting, 2 do
  local probed = redis.call('ZSCORE', KEYS[2], resting[i]) or now
  table.insert(found, {resting[i], math.ceil(resting[i + 1] - now), math.ceil(probed - now)})
end
return found
"""
)
"""Keys: resting, probes. Returns ``[name, ms of its cooldown left, ms of its probe left]`` each."""

COOL = (
    _NOW
    + """
local until_ms, known = now + ARGV[2], redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known or tonumber(known) < until_ms then
  redis.call('ZADD', KEYS[1], until_ms, ARGV[1])
end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[1], math.ceil(last[2] + ARGV[3]))
return 1
"""
)
"""Keys: resting, probes. Arguments: name, ms to rest, ms after which a doubt is forgotten."""

PROBE = (
    _NOW
    + """
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known then return {'well', 0} end
if tonumber(known) > now then return {'resting', math.ceil(known - now)} end
local probed = redis.call('ZSCORE', KEYS[2], ARGV[1])
if probed and tonumber(probed) > now then return {'probed', math.ceil(probed - now)} end
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2] * 2)
return {'yours', 0}
"""
)
"""Keys: resting, probes. Arguments: name, ms that a probe may take."""

WELL = (
    _NOW
    + """
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known and tonumber(known) <= now then redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('ZREM', KEYS[2], ARGV[1])
"""
)
"""Keys: resting, probes. Argument: name; one that failed again meanwhile stays."""

LEAVE = "redis.call('ZREM', KEYS[2], ARGV[1])"
"""Keys: resting, probes. Argument: name of a deployment whose probe was cancelled."""

TAKE = (
    _NOW
    + """
local second, used = tonumber(time[1]), {r = {}, t = {}}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind, at = all[i]:sub(1, 1), tonumber(all[i]:sub(2))
  if at < second - 60 then
    redis.call('HDEL', KEYS[1], all[i])
  else
    table.insert(used[kind], {at, tonumber(all[i + 1])})
  end
end
local function wait_ms(kind, limit)
  local total = 0
  for _, each in ipairs(used[kind]) do total = total + each[2] end
  if limit < 0 or total < limit then return 0 end
  table.sort(used[kind], function(a, b) return a[1] < b[1] end)
  for _, each in ipairs(used[kind]) do
    total = total - each[2]
    if total < limit then return (each[1] + 61) * 1000 - now end
  end
  return 0
end
local wait = math.max(wait_ms('r', tonumber(ARGV[1])), wait_ms('t', tonumber(ARGV[2])))
if wait <= 0 then
  redis.call('HINCRBY', KEYS[1], 'r' .. second, 1)
  redis.call('HINCRBY', KEYS[1], 't' .. second, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], 62000)
end
return {math.ceil(wait), second}
"""
)
"""Key: what a deployment was sent, by second. Arguments: its rpm and tpm, -1 for none; tokens.

Returns ms to wait, 0 if the request is counted, and the second that it is counted in.
"""

CORRECT = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
end
"""
"""Key: as of TAKE. Arguments: the field of a second, and by how much it was wrong."""
