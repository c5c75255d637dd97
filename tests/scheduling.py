"""How pytest-xdist shares the suite out among processes: file by file, and whole stacks one after the other.

A file's tests stay together, for the sake of what they share. Files that start stacks of their own kill processes and
are strict about the time that it costs: they make one unit, which comes first, is the longest, and has the processor
before the others (`give_way`).
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

STACK_KINDS = ("acceptance", "chaos")
NICENESS = 10


class FileByFile(LoadScopeScheduling):
    """Units are files, in the order in which their first tests were collected."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        kind = Path(file).parts[1]
        return "stacks" if kind in STACK_KINDS else file


def order(items: list[pytest.Item], kind_of: Callable[[pytest.Item], str]) -> None:
    """Put what takes longest first, so that all processes are done at about the same time; else leave the order."""
    turns = {**{kind: n for n, kind in enumerate(STACK_KINDS)}, "unit": len(STACK_KINDS) + 1}
    items.sort(key=lambda item: turns.get(kind_of(item), len(STACK_KINDS)))


def give_way(kind: str) -> None:
    """Let the stacks' processes go first, from the first test on that needs none."""
    if kind not in STACK_KINDS and os.getpriority(os.PRIO_PROCESS, 0) < NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
