"""Which processes of a worker are idle, in memory that they share with their parent.

A process says that it is busy before it claims a block, and idle when it has looked that none is left with it. So a
block that bears the id of an idle process is nobody's. The memory is made before the processes are, and inherited. Each
writes where its pid leads to; of two with the same place neither is known to be idle.
"""

import mmap
import os
import struct

RECORDS = 65_536
RECORD = struct.Struct("=q?")

_memory = mmap.mmap(-1, RECORDS * RECORD.size)


def note_busy() -> None:
    """Say that this process may have claimed blocks."""
    _note(idle=False)


def note_idle() -> None:
    """Say that this process is at work on nothing."""
    _note(idle=True)


def is_idle(pid: int) -> bool:
    """Tell whether a process said that it is idle, and nothing since."""
    writer, idle = RECORD.unpack_from(_memory, _offset(pid))
    return bool(writer == pid and idle)


def _note(*, idle: bool) -> None:
    RECORD.pack_into(_memory, _offset(os.getpid()), os.getpid(), idle)


def _offset(pid: int) -> int:
    return pid % RECORDS * RECORD.size
