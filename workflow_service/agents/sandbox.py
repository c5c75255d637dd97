"""The trusted process between a worker and a script: fences the script in, starts it, ends all it started.

Run as ``python -I -S sandbox.py PLAN`` with the plan as JSON; it imports the standard library only and never
this package. Each fence is put up where the kernel allows it and reported by name, so that the worker knows
what held. When this process ends, no process of the script is left: in a PID namespace the kernel sees to it;
elsewhere the descendants are killed one by one (they cannot leave, this process being their subreaper).
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38

NOBODY = 65_534
# The kernel reserves 300 process ids in a namespace; this is the lowest ceiling it takes.
LOWEST_PID_MAX = 301
NICENESS = 5

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call a libc function; raises ``OSError`` where it answers -1."""
    if getattr(libc, name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def enter_namespaces(deny_network: bool) -> list[str]:
    """Leave the machine's users, processes and network behind; return the fences that stand."""
    uid, gid = os.getuid(), os.getgid()
    network = CLONE_NEWNET if deny_network else 0
    try:
        call("unshare", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | network)
        Path("/proc/self/setgroups").write_text("deny")
        # Any id but 0 inside: the script's exec then drops every capability that the namespace gave.
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")
    except OSError:
        return []
    return ["processes", *(["network"] if deny_network else [])]


def hide_processes(work: str, work_bytes: int) -> list[str]:
    """Mount a bounded directory to work in and a ``/proc`` of our own; called by the namespace's first process."""
    fences = []
    try:
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        size = f"size={work_bytes},mode=0700".encode()
        call("mount", b"tmpfs", work.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, size)
        fences.append("disk")
        call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
        fences.append("proc")
        # RLIMIT_NPROC does not bind root; a ceiling on process ids does (Linux 6.14 and later).
        Path("/proc/sys/kernel/pid_max").write_text(str(LOWEST_PID_MAX))
    except OSError:
        pass
    return fences


def set_limits(limits: dict[str, int]) -> None:
    """Set the resource limits by their names in ``resource``, never above what this process has itself."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bounded, bounded))


def processes_of(uid: int) -> int:
    """Count the user's threads, which RLIMIT_NPROC counts too outside a user namespace."""
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += len(list((entry / "task").iterdir()))
        except OSError:
            continue
    return count


def start_script(plan: dict[str, Any], *, fenced: bool) -> int:
    """Fork and exec the script; return its process id."""
    limits = dict(plan["limits"])
    if not fenced:
        limits["RLIMIT_NPROC"] += processes_of(os.getuid())
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.chdir(plan["work"])
        os.nice(NICENESS)
        set_limits(limits)
        os.execve(plan["argv"][0], plan["argv"], {})  # noqa: S606 (the worker named the program)
    except BaseException as error:
        os.write(2, f"CRITICAL: the script could not be started: {error}\n".encode())
        os._exit(126)


def wait_for(pid: int) -> int:
    """Return the wait status of ``pid``, reaping whatever else ends meanwhile."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return status


def end_descendants() -> None:
    """Kill what the script left running: orphans come to us, so when we have no child all have ended."""
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not children:
            return
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        for _ in children:
            os.wait()


def report(descriptor: int, fences: list[str], status: int) -> None:
    """Tell the worker how the script ended and which fences stood."""
    code = os.waitstatus_to_exitcode(status)
    os.write(descriptor, json.dumps({"fences": fences, "exit": code}).encode())


def supervise(plan: dict[str, Any]) -> None:
    """Run the plan to its end."""
    report_to = int(plan["report"])
    os.set_inheritable(report_to, False)
    fences = enter_namespaces(plan["denyNetwork"])
    # After the change of credentials, which clears it; whoever died before this line is noticed on the next.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() not in (plan["worker"], 0):
        return
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not fences:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            report(report_to, fences, wait_for(start_script(plan, fenced=False)))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            end_descendants()
        return
    first = os.fork()
    if first == 0:
        # First process of the namespace: when it ends the kernel kills every other one in it.
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        fences += hide_processes(plan["work"], plan["workBytes"])
        report(report_to, fences, wait_for(start_script(plan, fenced=True)))
        os._exit(0)
    os.waitpid(first, 0)


if __name__ == "__main__":
    supervise(json.loads(sys.argv[1]))
