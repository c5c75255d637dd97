"""How often an agent is called: a token bucket for each, in Redis, shared by all workers.

Whoever comes too early is given a moment of its own, in turn, and holds it: it need not compete again when that moment
has come. Without Redis nobody waits.
"""

from workflow_service.agents.shared_state import run_script

# The bucket is kept as the moment at which it would be full again (GCRA), so one number says all.
TAKE = """
    local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
    local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
    local held = redis.call('GET', KEYS[2])
    if held then
        local left = tonumber(held) - now
        if left > 0 then return tostring(left) end
        redis.call('DEL', KEYS[2])
        return '0'
    end
    local full_at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
    local wait = math.max(0, full_at - now - (burst - 1) * interval)
    full_at = full_at + interval
    redis.call('SET', KEYS[1], string.format('%.3f', full_at), 'PX', math.ceil(full_at - now) + 1000)
    if wait > 0 then
        redis.call('SET', KEYS[2], string.format('%.3f', now + wait), 'PX', math.ceil(wait) + 600000)
    end
    return tostring(wait)
"""


def take_turn(key: str, *, caller: str, per_min: int, burst: int | None = None) -> float:
    """Take a turn at an agent; returns the seconds until it comes, 0 where it is now.

    ``caller`` names the work: it asks again when the time is over, and then has its turn.
    """
    interval_ms = 60_000 / per_min
    keys = (f"rate:{{{key}}}", f"rate:{{{key}}}:{caller}")
    found = run_script(TAKE, keys, (interval_ms, burst or max(1, per_min // 60)))
    return 0.0 if found is None else float(found) / 1_000
