"""What came of each case, and whether it was right: figures for each policy, and a table for people."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.chaos.fault_matrix.blocks import POLICIES
from tests.chaos.fault_matrix.rows import Row

# The other side counts in whole seconds, and clocks tick.
PATIENCE_S = 0.1


@dataclass(frozen=True)
class Outcome:
    """How a case went. ``ended`` is completed, asked, failed or stuck; ``gap_s`` lay between its first two requests.

    ``actions`` are the recovery's, in their order; ``took_s`` passed from the first of them to the end.
    """

    row: Row
    policy: str
    ended: str
    actions: tuple[str, ...]
    injected: bool
    effects: int
    gap_s: float | None
    took_s: float | None
    error: str = ""

    @property
    def recovered(self) -> bool:
        """Whether it was to be recovered, and was, by nothing but what is right."""
        return self.row.automatic and self.ended == "completed" and not self.wrongs

    @property
    def wrongs(self) -> tuple[str, ...]:
        """What was done that is not right. To give up in the end is no wrong; it recovers nothing."""
        row = self.row
        found = [
            f"took '{one}'" for one in dict.fromkeys(self.actions) if one not in row.right and one != "abort"
        ]
        if row.effects is not None and self.effects > row.effects:
            found.append(f"did the work {self.effects} times")
        if row.effects is not None and self.ended == "completed" and self.effects < row.effects:
            found.append("completed without the work")
        if self.gap_s is not None and self.gap_s < row.not_before - PATIENCE_S:
            found.append(f"came back after {self.gap_s:.1f} s")
        if self.ended == "completed" and not row.automatic:
            found.append("went on without a person")
        return tuple(found)

    @property
    def repeated(self) -> bool:
        """Whether something was done to the world more often than may be."""
        return self.row.effects is not None and self.effects > self.row.effects

    @property
    def harmed(self) -> bool:
        """Whether something was done that nobody can take back: twice, or without the person who had to see it."""
        return self.repeated or (self.ended == "completed" and not self.row.automatic)

    def document(self) -> dict[str, Any]:
        return {
            "id": self.row.id,
            "kind": self.row.kind,
            "agent": self.row.agent,
            "policy": self.policy,
            "ended": self.ended,
            "should_end": self.row.ends,
            "actions": list(self.actions),
            "wrong": list(self.wrongs),
            "effects": self.effects,
            "injected": self.injected,
            "took_s": self.took_s,
            "error": self.error,
        }


@dataclass(frozen=True)
class Figures:
    """What a policy comes to; rates are percentages."""

    rows: int
    recoverable: int
    recovered: int
    recovery_rate: float
    wrong: int
    wrong_action_rate: float
    harmed: int
    repeated: int
    ended_otherwise: int
    not_injected: int
    median_recovery_s: float | None


def figures_of(outcomes: Sequence[Outcome]) -> Figures:
    """Return the figures of one policy's outcomes."""
    recoverable = [one for one in outcomes if one.row.automatic]
    recovered = [one for one in recoverable if one.recovered]
    wrong = [one for one in outcomes if one.wrongs]
    times = [one.took_s for one in recovered if one.took_s is not None]
    return Figures(
        rows=len(outcomes),
        recoverable=len(recoverable),
        recovered=len(recovered),
        recovery_rate=_percent(len(recovered), len(recoverable)),
        wrong=len(wrong),
        wrong_action_rate=_percent(len(wrong), len(outcomes)),
        harmed=sum(one.harmed for one in outcomes),
        repeated=sum(one.repeated for one in outcomes),
        ended_otherwise=sum(one.ended != one.row.ends for one in outcomes),
        not_injected=sum(not one.injected for one in outcomes),
        median_recovery_s=round(median(times), 1) if times else None,
    )


def document(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return everything as JSON: the figures by policy, and each case."""
    found = list(outcomes)
    by_policy = {policy: [one for one in found if one.policy == policy] for policy in POLICIES}
    return {
        "policies": {policy: asdict(figures_of(some)) for policy, some in by_policy.items() if some},
        "cases": [one.document() for one in found],
    }


def table(outcomes: Iterable[Outcome]) -> str:
    """Return a table in Markdown: a line for each row, what every policy did, and what it came to."""
    found = list(outcomes)
    policies = [policy for policy in POLICIES if any(one.policy == policy for one in found)]
    rows = {one.row.id: one.row for one in found}
    cells = {(one.row.id, one.policy): _cell(one) for one in found}
    lines = [
        f"| agent | failure | right | {' | '.join(policies)} |",
        "|---|---|---|" + "---|" * len(policies),
    ]
    for row in rows.values():
        right = ", ".join(row.right) + ("" if row.automatic else " (a person's)")
        done = " | ".join(cells.get((row.id, policy), "") for policy in policies)
        lines.append(f"| {row.agent} | {row.what} | {right} | {done} |")
    return "\n".join(lines) + "\n"


def _cell(one: Outcome) -> str:
    said = one.ended + (f" ({', '.join(_counted(one.actions))})" if one.actions else "")
    return said if not one.wrongs else f"{said}; **wrong**: {', '.join(one.wrongs)}"


def _counted(actions: Sequence[str]) -> list[str]:
    """Return actions with how often each was taken in a row."""
    found: list[list[Any]] = []
    for action in actions:
        if found and found[-1][0] == action:
            found[-1][1] += 1
        else:
            found.append([action, 1])
    return [f"{times} {action}" if times > 1 else action for action, times in found]


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
