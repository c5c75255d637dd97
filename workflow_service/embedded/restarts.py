"""When to start a child again that has ended, and when to say that it will not come up.

Pure: it is handed times (seconds of a monotonic clock) and answers with a value.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Backoff between starts, in seconds. A child that lived `stable_after_s` has a clean record again."""

    first_delay_s: float = 0.2
    factor: float = 2.0
    longest_delay_s: float = 30.0
    stable_after_s: float = 10.0
    crash_loop_after: int = 4

    def delay_s(self, short_lives: int) -> float:
        """Return the pause before the next start, after a number of short lives in a row."""
        exponent = min(max(short_lives - 1, 0), 60)
        return float(min(self.first_delay_s * self.factor**exponent, self.longest_delay_s))


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """Start again after a pause. `crash_loop` is true once per loop, on the exit that makes it one."""

    delay_s: float
    crash_loop: bool


@dataclass(slots=True)
class RestartRecord:
    """How one child has fared so far."""

    policy: RestartPolicy = field(default_factory=RestartPolicy)
    short_lives: int = 0

    def note_exit(self, *, started_at: float, ended_at: float) -> RestartDecision:
        """Take note of an exit and decide about the next start."""
        if ended_at - started_at >= self.policy.stable_after_s:
            self.short_lives = 0
        self.short_lives += 1
        return RestartDecision(
            delay_s=self.policy.delay_s(self.short_lives),
            crash_loop=self.short_lives == self.policy.crash_loop_after,
        )
