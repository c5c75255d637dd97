"""What goes wrong during a storm, in an order that a seed repeats, and what was done when, for the verdict."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from executions_app.dispatch import send_blocks
from executions_app.journal import Queued
from executions_app.models import BlockExecution
from executions_app.transaction import persistently
from tests.chaos.stack import ChaosStack, Process
from tests.chaos.workload import count_active

# Longer than a lease (6 s) and a tick.
STOPPED_S = 8.5
DUPLICATES = 30
TICK_S = 0.1
VICTIM_WITHIN_S = 30.0
# By what is killed of a worker: one of its processes, its parent alone, all of them; the same of the control worker.
WORKER_KILLS = {"child": 70, "parent": 12, "worker": 10, "control": 8}


@dataclass(frozen=True)
class Fault:
    """One fault: when it began and ended (seconds of the epoch), and the processes it hit."""

    kind: str
    began: float
    ended: float
    pids: frozenset[int]
    active: int

    @property
    def kills_worker(self) -> bool:
        return self.kind in WORKER_KILLS


@dataclass
class Schedule:
    """How often each kind of fault happens, within how many seconds."""

    seed: int
    seconds: float
    worker_kills: int
    redis_kills: int
    postgres_kills: int
    others: int

    def kinds(self) -> list[str]:
        """Return the faults in the order in which they happen; each kind of worker kill has its share."""
        chance = random.Random(self.seed)
        total = sum(WORKER_KILLS.values())
        kinds = [
            kind for kind, share in WORKER_KILLS.items() for _ in range(self.worker_kills * share // total)
        ]
        kinds += ["child"] * (self.worker_kills - len(kinds))
        kinds += ["redis"] * self.redis_kills + ["postgres"] * self.postgres_kills
        for kind in ("flush", "stop", "duplicate", "beat"):
            kinds += [kind] * self.others
        chance.shuffle(kinds)
        return kinds


@dataclass
class Killer:
    """Does what the schedule says, and keeps the stack mended meanwhile; lives in the stack's own thread."""

    stack: ChaosStack
    schedule: Schedule
    least_active: int
    tell: Callable[[], None]
    done: list[Fault] = field(default_factory=list)
    _resume: list[tuple[float, str]] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return Counter("kill" if fault.kills_worker else fault.kind for fault in self.done)

    def crashes(self) -> list[Fault]:
        """Return the ends of processes that nobody planned: a fault of a library, or what a kill led to."""
        return [Fault("crash", at, at, frozenset(pids), 0) for at, _, pids in self.stack.crashes]

    def run(self) -> None:
        """Do every fault of the schedule; returns once what was stopped goes on."""
        chance = random.Random(self.schedule.seed)
        kinds = self.schedule.kinds()
        pause_s = self.schedule.seconds / len(kinds)
        for kind in kinds:
            # From the last one on, for one that was waited for must not be followed by a burst.
            due = time.monotonic() + pause_s * chance.uniform(0.5, 1.5)
            self.pass_time(lambda at=due: time.monotonic() >= at)  # type: ignore[misc]
            if not self.pass_time(lambda: persistently(count_active) >= self.least_active):
                raise TimeoutError(f"there are not {self.least_active} runs under way")
            active = persistently(count_active)
            began = time.time()
            pids = self._do(kind, chance)
            ended = began + STOPPED_S if kind == "stop" else time.time()
            self.done.append(Fault(kind, began, ended, frozenset(pids), active))
        self.pass_time(lambda: not self._resume)

    def pass_time(self, until: Callable[[], bool], timeout_s: float = 120.0) -> bool:
        """Keep the stack running until a condition holds; False if it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > deadline:
                return False
            self.stack.mend()
            for due, name in [found for found in self._resume if found[0] <= time.monotonic()]:
                self._resume.remove((due, name))
                self._signal_all(self.stack.processes[name], signal.SIGCONT)
            self.tell()
            time.sleep(TICK_S)
        return True

    def _do(self, kind: str, chance: random.Random) -> list[int]:
        match kind:
            case "child":
                _, children = self._victim("worker", chance)
                pid = chance.choice(children)
                os.kill(pid, signal.SIGKILL)
                return [pid]
            case "parent":
                process, _ = self._victim("worker", chance)
                return self.stack.kill_parent(process.name)
            case "worker" | "control":
                process, _ = self._victim(kind, chance)
                return self._signal_all(process, signal.SIGKILL)
            case "stop":
                process, _ = self._victim("worker", chance)
                self._resume.append((time.monotonic() + STOPPED_S, process.name))
                return self._signal_all(process, signal.SIGSTOP)
            case "beat":
                process, _ = self._victim("beat", chance)
                return self._signal_all(process, signal.SIGKILL)
            case "redis":
                self.stack.kill_redis()
            case "postgres":
                self.stack.kill_postgres()
            case "flush":
                with redis.Redis.from_url(self.stack.services.urls.redis_url) as client:
                    client.flushall()
            case "duplicate":
                persistently(lambda: self._send_twice(chance))
            case _:
                raise ValueError(kind)
        return []

    def _victim(self, role: str, chance: random.Random) -> tuple[Process, list[int]]:
        """Return a running process of a role and its children; of workers, one that has some."""
        found: list[tuple[Process, list[int]]] = []

        def any_fit() -> bool:
            stopped = {name for _, name in self._resume}
            fit = [
                (process, process.children())
                for name, process in sorted(self.stack.processes.items())
                if name.startswith(role) and name not in stopped and process.is_running()
            ]
            found[:] = [(process, children) for process, children in fit if children or role == "beat"]
            return bool(found)

        if not self.pass_time(any_fit, VICTIM_WITHIN_S):
            raise TimeoutError(f"no {role} came up to be killed")
        return chance.choice(found)

    def _signal_all(self, process: Process, number: signal.Signals) -> list[int]:
        """Send a signal to a process and its children; the parent first, so that it replaces none of them."""
        pids = [process.pid, *process.children()]
        if number is signal.SIGKILL:
            self.stack.plan_end(process.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    @staticmethod
    def _send_twice(chance: random.Random) -> None:
        """Send messages again of blocks in whatever state they are: each of these is one too many."""
        newest = BlockExecution.objects.select_related("execution").order_by("-id")[: DUPLICATES * 5]
        rows = list(newest)
        for row in chance.sample(rows, min(DUPLICATES, len(rows))):
            message = Queued(row.pk, row.block_id, row.queue, None)
            send_blocks(row.execution_id, row.execution.public_id, [message, message])
