"""The process between a worker and a server that it started: whatever becomes of the worker, the server ends.

Run as ``python -I -S process_keeper.py WORKER_PID COMMAND ARGUMENT…``; it imports the standard library only. The server
has the keeper's standard streams. When the server ends, when the keeper is told to, or when the worker is gone, all
that the server has started is killed: orphans come to the keeper, so when it has no child, all have ended.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def end_descendants() -> None:
    """Kill every process that the server has left."""
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not children:
            return
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        for _ in children:
            os.wait()


def keep(worker: int, command: list[str]) -> int:
    """Run ``command`` to its end; return its exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def stop(signum: int, frame: FrameType | None) -> None:
        sys.exit(os.EX_TEMPFAIL)

    signal.signal(signal.SIGTERM, stop)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    try:
        if os.getppid() != worker:
            return os.EX_TEMPFAIL
        server = os.fork()
        if server == 0:
            _become(command)
        # The server alone holds the streams: its end is seen at once.
        for stream in (0, 1):
            os.close(stream)
        while True:
            ended, status = os.wait()
            if ended == server:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_descendants()


def _become(command: list[str]) -> None:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 (the operator named the program)
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
        os._exit(os.EX_NOINPUT)


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))
