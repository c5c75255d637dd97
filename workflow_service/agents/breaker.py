"""A circuit breaker for each agent, shared by all workers (document A section 16.2).

So many failures in a row open it; while it is open nobody calls the agent. After a while it is half open: a few calls
are let through as trials, never more at once than successes are still wanted; so many successes close it, one failure
opens it again. Each change is one script in Redis, by Redis' own clock, so two workers never disagree. A trial whose
worker died is forgotten after its time. Without Redis every call is let through.
"""

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from workflow_service.agents.shared_state import run_script
from workflow_service.settings.config import get_config

logger = logging.getLogger(__name__)

KEPT_MS = 86_400_000

ADMIT = """
    local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)
    local open_ms, wanted, trial_ms, trial = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
    local state = redis.call('HGET', KEYS[1], 'state') or 'closed'
    if state == 'closed' then
        return {'closed', 0, tonumber(redis.call('HGET', KEYS[1], 'failures') or 0)}
    end
    if state == 'open' then
        local left = tonumber(redis.call('HGET', KEYS[1], 'opened_at')) + open_ms - now
        if left > 0 then return {'open', left, 0} end
        redis.call('HSET', KEYS[1], 'state', 'half_open', 'successes', 0)
        redis.call('DEL', KEYS[2])
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
    local at_work = redis.call('ZCARD', KEYS[2])
    local successes = tonumber(redis.call('HGET', KEYS[1], 'successes') or 0)
    if at_work >= wanted - successes then return {'open', 1000, 0} end
    redis.call('ZADD', KEYS[2], now + trial_ms, trial)
    -- A short trial must not take a longer one's record along.
    if redis.call('PTTL', KEYS[2]) < trial_ms then redis.call('PEXPIRE', KEYS[2], trial_ms) end
    return {'half_open', 0, 0}
"""
REPORT = """
    local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)
    local most, wanted, trial, outcome = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
    local state = redis.call('HGET', KEYS[1], 'state') or 'closed'
    if state == 'closed' and trial == '' then
        if outcome == 'success' then redis.call('DEL', KEYS[1]) end
        if outcome ~= 'failure' then return {'closed', 'closed'} end
        local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
        redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[5]))
        if failures < most then return {'closed', 'closed'} end
        redis.call('HSET', KEYS[1], 'state', 'open', 'opened_at', now)
        return {'closed', 'open'}
    end
    -- Of calls that began before it opened nothing is to be learned any more.
    if state ~= 'half_open' or redis.call('ZREM', KEYS[2], trial) == 0 then return {state, state} end
    if outcome == 'failure' then
        redis.call('HSET', KEYS[1], 'state', 'open', 'opened_at', now)
        redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[5]))
        redis.call('DEL', KEYS[2])
        return {'half_open', 'open'}
    end
    if outcome == 'success' and redis.call('HINCRBY', KEYS[1], 'successes', 1) >= wanted then
        redis.call('DEL', KEYS[1], KEYS[2])
        return {'half_open', 'closed'}
    end
    return {'half_open', 'half_open'}
"""
READ = """
    local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)
    local found = {}
    for place, key in ipairs(KEYS) do
        local state = redis.call('HGET', key, 'state') or 'closed'
        if state == 'open' and tonumber(redis.call('HGET', key, 'opened_at')) + tonumber(ARGV[1]) <= now then
            state = 'half_open'
        end
        found[place] = state
    end
    return found
"""
RESET = "return redis.call('DEL', KEYS[1], KEYS[2])"


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(StrEnum):
    """What a call says of its agent. ``NEITHER``: the agent answered, but asked to be left alone."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """How many failures open a breaker, for how long (milliseconds), and how many successes close it."""

    failures: int = 5
    open_ms: int = 60_000
    successes: int = 3


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may be made. ``trial`` names a call while half open; ``failed_before``: failures stand."""

    allowed: bool
    retry_after_s: float = 0.0
    trial: str = ""
    failed_before: bool = False


def breaker_rules() -> BreakerRules:
    """Return the rules that this server's configuration sets."""
    config = get_config()
    return BreakerRules(
        config.agent_breaker_failures, config.agent_breaker_open_ms, config.agent_breaker_successes
    )


class CircuitBreaker:
    """The breaker of one agent; ``key`` names it among all."""

    def __init__(self, key: str, rules: BreakerRules | None = None) -> None:
        self.key = key
        self.rules = rules or breaker_rules()
        self._keys = _keys(key)

    def admit(self, call_s: float) -> Admission:
        """Ask for a call that takes ``call_s`` seconds at most; what it comes to is to be reported."""
        trial = secrets.token_hex(8)
        arguments = (self.rules.open_ms, self.rules.successes, round(call_s * 1_000) + 1, trial)
        found = run_script(ADMIT, self._keys, arguments)
        if found is None:
            return Admission(allowed=True)
        state, wait_ms, failures = _text(found[0]), int(found[1]), int(found[2])
        if state == BreakerState.OPEN:
            return Admission(allowed=False, retry_after_s=wait_ms / 1_000)
        return Admission(
            allowed=True, trial=trial if state == BreakerState.HALF_OPEN else "", failed_before=failures > 0
        )

    def report(self, admission: Admission, outcome: Outcome) -> None:
        """Say what an admitted call came to. A success where nothing had failed says nothing new, and costs nothing."""
        if not admission.trial and outcome is not Outcome.FAILURE and not admission.failed_before:
            return
        arguments = (self.rules.failures, self.rules.successes, admission.trial, outcome.value, KEPT_MS)
        found = run_script(REPORT, self._keys, arguments)
        if found is None:
            return
        before, after = _text(found[0]), _text(found[1])
        if before != after:
            level = logging.WARNING if after == BreakerState.OPEN else logging.INFO
            logger.log(level, "Circuit breaker of agent %s: %s, was %s", self.key, after, before)

    def state(self) -> BreakerState:
        """Return its state; closed where Redis does not answer."""
        return read_states([self.key], self.rules)[0]

    def reset(self) -> None:
        """Close it, whatever it was."""
        run_script(RESET, self._keys, ())


def breaker_key(workspace_id: int, agent_id: str) -> str:
    """Return the name of the breaker that guards an agent in a workspace."""
    return f"{workspace_id}:{agent_id}"


def read_states(keys: Iterable[str], rules: BreakerRules | None = None) -> list[BreakerState]:
    """Return the states of several breakers in one round trip; closed where Redis does not answer."""
    names = [_keys(key)[0] for key in keys]
    found = run_script(READ, names, ((rules or breaker_rules()).open_ms,)) if names else []
    return [BreakerState(_text(state)) for state in found or ["closed"] * len(names)]


def _keys(key: str) -> tuple[str, str]:
    # The braces keep both keys on one node of a cluster.
    return f"breaker:{{{key}}}", f"breaker:{{{key}}}:trials"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
