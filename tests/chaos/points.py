"""The points at which a process is killed, and the scenario that reaches each of them.

A new transaction of the engine is found in the sources and must be added to ``COMMITS`` (or, with the reason, to
``NOT_TRIED``), a new message to ``PUBLISHES``; a test says so until it is.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("executions_app", "approvals_app")
OPENERS = {"command_transaction", "pipelined_transaction", "run_alone"}

# By who opens the transaction: the scenario, a template of `scenarios.py`.
COMMITS = {
    "executions.start_execution": "chain",
    "claiming.claim_block": "fan-out",
    "claiming.prepare_and_claim": "one-call",
    "finishing.finish": "chain",
    "finishing.settle_batch": "poked",
    "finishing.settle_singly": "poisoned",
    "parking.park": "reviewed",
    "parking.recover": "retries",
    "parking.wake_retries": "retries",
    "parking.take_back": "dying",
    "parking.begin_map": "map",
    "waits.fire_due": "naps",
    "signals.send_signal": "signalled",
    "callbacks.take_callback": "callback",
    "deadlines.time_out_run": "late",
    "children.stop": "late-call",
    "child_ends.end_waiting_block": "failing-call",
    "child_ends.conclude_parent": "asking-call",
    "control.pause_execution": "paused",
    "control.resume_execution": "paused",
    "control.cancel_execution": "cancelled",
    "control.create_recovery_point": "noted",
    "restart.restart_execution": "restarted",
    "blocks.command": "skipped",
    "admission.admit_one": "one-run",
    "agent_slots.put_aside": "one-call",
    "agent_slots.wake": "one-call",
    "approvals.respond_to_approval": "approval",
    "timers.escalate": "overdue",
    "timers.time_out": "overdue",
}
# What a transaction above does in some of its cases only, by the name that is given to it there.
CASES_OF_COMMITS = {"approvals.vote": "voted"}
PUBLISHES = {
    "run_block": "chain",
    "group": "scattered",
    "chord": "fan-out",
    "settle": "poked",
    "execution.hint": "chain",
    "approval.hint": "approval",
}
# Which scenarios do not try, and why.
NOT_TRIED = {
    "timers.remind": "it writes a timer and an event as timers.escalate does, and is due until it is committed",
    "gate.message_of": "it only reads",
    "parking.postpone": "it writes what parking.recover writes for a delay, and is taken back by the same lease",
    "advising.take_time": "it only moves the time on at which a block is killed; who dies there dies at work on it",
    "parking.ask_unasked": "the sweeper repeats it every second until it is committed, as it does waits.fire_due",
}

SIDES = ("before", "after")
POINTS = {
    f"{name}:{side} {what}": scenario
    for what, names in (("commit", COMMITS | CASES_OF_COMMITS), ("publish", PUBLISHES))
    for name, scenario in names.items()
    for side in SIDES
}


def transactions_in_sources() -> set[str]:
    """Return, as ``MODULE.FUNCTION``, every function that opens a transaction of the engine."""
    found: set[str] = set()
    for folder in SOURCES:
        for path in (PROJECT_ROOT / folder).rglob("*.py"):
            found |= {f"{path.stem}.{name.lstrip('_')}" for name in _openers(ast.parse(path.read_text()))}
    return found


def _openers(tree: ast.Module) -> Iterator[str]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OPENERS:
                    yield function.name
