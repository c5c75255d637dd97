"""Named points at which a test has this process killed: before and after every commit and every publish.

``CRASH_POINTS`` in the environment names a file that says where (see ``arm``); without it, as in every service that
is not under test, a point costs one look at a constant. Points are named by what is done there:

- ``MODULE.FUNCTION:before commit`` and ``…:after commit``, where FUNCTION opened the transaction
  (``transaction.py`` asks who did), so a new command has its points without a line of its own;
- ``NAME:before publish`` and ``…:after publish`` in ``dispatch.py``, NAME being the task or ``group``, ``chord``.

A new message calls ``reach`` itself, on both sides. ``tests/chaos/points.py`` lists what must be reached.
"""

import json
import os
import signal
import sys
from pathlib import Path

_FILE = os.environ.get("CRASH_POINTS")
_times: dict[str, int] = {}


def arm(file: Path, *, case: str, point: str, deaths: int = 1, every: int = 1) -> None:
    """Write the file that ``CRASH_POINTS`` names: which point kills.

    Every ``every``-th time that a process reaches ``point`` it dies, until ``deaths`` processes did. ``case`` names
    the files that remember them, so that a process started again survives.
    """
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"case": case, "point": point, "deaths": deaths, "every": every}))
    new.replace(file)


def deaths_of(file: Path, case: str) -> int:
    """Return how many processes died in a case."""
    return len(list(file.parent.glob(f"{case}.death-*")))


def reach(point: str) -> None:
    """Pass a point; the process dies here, without cleaning up, if the file says so."""
    if _FILE is not None:
        _reach(Path(_FILE), point)


def opener(depth: int = 2) -> str:
    """Return, as ``MODULE.FUNCTION``, who opened the transaction of a context manager that asks.

    ``depth`` is how many calls lie between who opened it and who asks: contextlib's, and the context manager's.
    """
    if _FILE is None:
        return ""
    frame = sys._getframe(depth + 1)
    return f"{frame.f_globals['__name__'].rpartition('.')[2]}.{frame.f_code.co_name.lstrip('_')}"


def _reach(file: Path, point: str) -> None:
    try:
        armed = json.loads(file.read_text())
    except FileNotFoundError:
        return
    if armed["point"] != point:
        return
    _times[armed["case"]] = times = _times.get(armed["case"], 0) + 1
    if times % armed["every"] == 0 and _may_die(file, armed["case"], armed["deaths"]):
        os.kill(os.getpid(), signal.SIGKILL)


def _may_die(file: Path, case: str, deaths: int) -> bool:
    """Take one of the deaths; of several processes at once each needs its own."""
    for number in range(1, deaths + 1):
        try:
            (file.parent / f"{case}.death-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False
