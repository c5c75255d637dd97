"""`stack.json`: what a data directory's stack runs, under which pids and addresses, and how to find it.

The file is there while a stack runs and after one was killed; only with the lock does it say what is.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from workflow_service.embedded.directories import write_private_file
from workflow_service.embedded.locks import DirectoryLock
from workflow_service.embedded.readiness import answers_http, wait_for

STACK_FILE = "stack.json"
STACK_LOCK = "stack"


@dataclass(frozen=True, slots=True)
class StackRecord:
    """One state of a stack; `state` is "starting" or "ready"."""

    state: str
    supervisor_pid: int
    base_url: str
    flower_url: str
    pids: dict[str, int]


class AttachedStack:
    """A stack that another process supervises; leaving it does not stop it."""

    def __init__(self, data_dir: Path, record: StackRecord) -> None:
        self.data_dir = data_dir
        self.base_url = record.base_url
        self.flower_url = record.flower_url
        self.supervisor_pid = record.supervisor_pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def write_stack_record(data_dir: Path, record: StackRecord | None) -> None:
    """Record what runs; None when nothing does any more."""
    path = data_dir / STACK_FILE
    if record is None:
        path.unlink(missing_ok=True)
    else:
        write_private_file(path, json.dumps(asdict(record), indent=2) + "\n")


def read_stack_record(data_dir: Path) -> StackRecord | None:
    """Return the last record; None if there is none that can be read."""
    try:
        return StackRecord(**json.loads((data_dir / STACK_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def find_running_stack(data_dir: Path, *, wait_s: float = 0.0) -> AttachedStack | None:
    """Return the stack that runs in a data directory, given time to become ready; None if none runs."""
    lock = DirectoryLock(data_dir, STACK_LOCK)

    def is_ready_or_gone() -> bool:
        return not lock.is_held() or _ready_record(data_dir, lock) is not None

    wait_for(is_ready_or_gone, wait_s)
    record = _ready_record(data_dir, lock) if lock.is_held() else None
    return AttachedStack(data_dir.resolve(), record) if record else None


def _ready_record(data_dir: Path, lock: DirectoryLock) -> StackRecord | None:
    record = read_stack_record(data_dir)
    if record is None or record.state != "ready" or record.supervisor_pid != lock.holder()[0]:
        return None
    return record if answers_http(f"{record.base_url}/health/live") == 200 else None
