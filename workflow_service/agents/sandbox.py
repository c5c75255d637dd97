"""The trusted process between a worker and a script: fences the script in, starts it, ends all it started.

Run as ``python -I -S sandbox.py PLAN`` with the plan as JSON; it imports the standard library only and never
this package. Each fence is put up where the kernel allows it and reported by name, so that the worker knows
what held. When this process ends, no process of the script is left: in a PID namespace the kernel sees to it;
elsewhere the descendants are killed one by one (they cannot leave, this process being their subreaper).
"""

import ctypes
import json
import os
import platform
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAPABILITIES = 64

RESULTS = "out"
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
MAX_RESULT_DEPTH = 10
COPY_BYTES = 256 * 1024

NOBODY = 65_534
# The kernel reserves 300 process ids in a namespace; this is the lowest ceiling it takes.
LOWEST_PID_MAX = 301
NICENESS = 5

# Landlock (linux/landlock.h). The same numbers on every architecture.
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
FS_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
FS_RIGHTS_SINCE = (1 << 16) - 1
FS_READ = 1 << 0 | 1 << 2 | 1 << 3
FS_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
SCOPE_SOCKETS_AND_SIGNALS = 3

# System calls that a script has no use for, by architecture: (audit number, socket, the others).
# bpf, perf_event_open, userfaultfd, io_uring_setup (which opens sockets by another door), ptrace,
# process_vm_*, keyrings, mount, setns, unshare.
SYSTEM_CALLS = {
    "x86_64": (0xC000003E, 41, (321, 298, 323, 425, 101, 310, 311, 248, 249, 250, 165, 308, 272)),
    "aarch64": (0xC00000B7, 198, (280, 241, 282, 425, 117, 270, 271, 217, 218, 219, 40, 268, 97)),
}
X32_BIT = 0x40000000
BPF_LOAD, BPF_JUMP_IF_EQUAL, BPF_JUMP_IF_AT_LEAST, BPF_RETURN = 0x20, 0x15, 0x35, 0x06
SECCOMP_ALLOW, SECCOMP_REFUSE, SECCOMP_KILL = 0x7FFF0000, 0x00050001, 0x80000000

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> int:
    """Call a libc function and return what it answers; raises ``OSError`` where that is -1."""
    result: int = getattr(libc, name)(*arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def enter_namespaces(*, deny_network: bool) -> list[str]:
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


def mount_own(work: str, work_bytes: int) -> list[str]:
    """Mount a bounded directory to work in and a ``/proc`` of our own; for the namespace's first process."""
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


def close_files(plan: dict[str, Any]) -> list[str]:
    """Let this process read ``system`` (but what is hidden there) and ``readable``, and write to its own directory
    and ``writable``: nothing else (Landlock)."""
    try:
        abi = call("syscall", LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
        rights = FS_RIGHTS_OF_ABI.get(abi, FS_RIGHTS_SINCE)
        closed_ports = 3 if plan["denyNetwork"] and abi >= 4 else 0
        attributes = struct.pack("QQQ", rights, closed_ports, SCOPE_SOCKETS_AND_SIGNALS)
        size = 8 if abi < 4 else 16 if abi < 6 else 24
        ruleset = call("syscall", LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
        hidden = [os.path.realpath(path) for path in plan["hidden"]]
        for root in map(os.path.realpath, plan["system"]):
            for path in open_paths(hidden, root):
                allow(ruleset, path, rights & FS_READ)
        for path in plan["readable"]:
            allow(ruleset, path, rights & FS_READ)
        for path in (plan["work"], *plan["writable"]):
            allow(ruleset, path, rights)
        allow(ruleset, "/dev/null", rights & FS_OF_FILES)
        call("syscall", LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
    except OSError:
        return []
    return ["files"]


def allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for what is at and below ``path``; what is gone meanwhile needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= FS_OF_FILES
        call("syscall", LANDLOCK_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def open_paths(hidden: list[str], root: str) -> Iterator[str]:
    """Yield paths that together hold what is at and below ``root``, but what is hidden."""
    if any(root == path or root.startswith(path + "/") for path in hidden):
        return
    if any(path.startswith(root.rstrip("/") + "/") for path in hidden) and os.path.isdir(root):
        yield from paths_beside(hidden, root)
    else:
        yield root


def paths_beside(hidden: list[str], directory: str) -> Iterator[str]:
    """Yield paths that together hold every file but those below ``hidden``: rules can open, not close."""
    with os.scandir(directory) as entries:
        for entry in entries:
            # A link is no place of its own: what it leads to has its own rule, or is hidden.
            if entry.is_symlink() or entry.path in hidden:
                continue
            if any(path.startswith(entry.path + "/") for path in hidden):
                yield from paths_beside(hidden, entry.path)
            else:
                yield entry.path


def refuse_system_calls(*, deny_network: bool) -> list[str]:
    """Refuse the system calls that a script has no use for, and sockets with them (seccomp)."""
    numbers = SYSTEM_CALLS.get(platform.machine())
    if numbers is None:
        return []
    audit, socket, others = numbers
    refused = [socket, *others] if deny_network else list(others)
    # Offsets in struct seccomp_data: 0 is the number of the call, 4 the architecture.
    program = [(BPF_LOAD, 0, 0, 4), (BPF_JUMP_IF_EQUAL, 1, 0, audit), (BPF_RETURN, 0, 0, SECCOMP_KILL)]
    program += [(BPF_LOAD, 0, 0, 0), (BPF_JUMP_IF_AT_LEAST, len(refused) + 1, 0, X32_BIT)]
    program += [(BPF_JUMP_IF_EQUAL, len(refused) - index, 0, number) for index, number in enumerate(refused)]
    program += [(BPF_RETURN, 0, 0, SECCOMP_ALLOW), (BPF_RETURN, 0, 0, SECCOMP_REFUSE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    try:
        call("prctl", PR_SET_SECCOMP, 2, struct.pack("HP", len(program), ctypes.addressof(code)), 0, 0)
    except OSError:
        return []
    return ["calls", *(["network"] if deny_network else [])]


def drop_capabilities() -> None:
    """Let no capability survive the script's exec: outside a user namespace root would keep its own."""
    for capability in range(CAPABILITIES):
        # Refused to an ordinary user, who has none to keep.
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def set_limits(limits: dict[str, int]) -> None:
    """Set the resource limits by their names in ``resource``, never above what this process has itself."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bounded, bounded))


def threads_of(uid: int) -> int:
    """Count the user's threads, which RLIMIT_NPROC counts too outside a user namespace."""
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += len(list((entry / "task").iterdir()))
        except OSError:
            continue
    return count


def lend_files(plan: dict[str, Any]) -> None:
    """Show the script the files it was given in its own directory, and make the one for those it gives."""
    os.mkdir(os.path.join(plan["work"], RESULTS), 0o700)
    for name in os.listdir(plan["given"]):
        # Links: a bounded directory in memory should not be filled with what can be read where it lies.
        os.symlink(os.path.join(plan["given"], name), os.path.join(plan["work"], name))


def collect_results(plan: dict[str, Any]) -> None:
    """Copy what the script left in ``out/`` to where the worker finds it, and say so if that is too much.

    No link is followed: what it left may still be changed by its own processes.
    """
    room = [plan["resultBytes"], plan["resultFiles"]]
    try:
        source = os.open(os.path.join(plan["work"], RESULTS), FOLDER)
        try:
            copy_folder(source, plan["results"], room)
        finally:
            os.close(source)
    except FileNotFoundError:
        return  # It removed the folder: it leaves nothing.
    except (OSError, ValueError) as error:
        tell(plan, {"refused": str(error)})


def copy_folder(source: int, target: str, room: list[int], depth: int = 0) -> None:
    """Copy the regular files below the open folder; ``room`` is bytes, and files and folders, that are left."""
    if depth > MAX_RESULT_DEPTH:
        raise ValueError(f"it left folders in more than {MAX_RESULT_DEPTH} others")
    for name in sorted(os.listdir(source)):
        here = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
        path = os.path.join(target, name)
        room[1] -= 1
        if room[1] < 0:
            raise ValueError("it left more files and folders than it may")
        if stat.S_ISDIR(here):
            os.mkdir(path, 0o700)
            inner = os.open(name, FOLDER, dir_fd=source)
            try:
                copy_folder(inner, path, room, depth + 1)
            finally:
                os.close(inner)
        elif stat.S_ISREG(here):
            copy_file(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=source), path, room)
        else:
            raise ValueError(f"it left {name!r}, which is no file")


def copy_file(source: int, path: str, room: list[int]) -> None:
    """Copy an open file and close it."""
    with open(source, "rb") as content, open(path, "xb") as target:
        while chunk := content.read(COPY_BYTES):
            room[0] -= len(chunk)
            if room[0] < 0:
                raise ValueError("it left more bytes than it may")
            target.write(chunk)


def start_script(plan: dict[str, Any], fences: list[str]) -> int:
    """Fork and exec the script; return its process id."""
    limits = dict(plan["limits"])
    if not fences:
        limits["RLIMIT_NPROC"] += threads_of(os.getuid())
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.chdir(plan["work"])
        os.nice(NICENESS)
        fences = [*fences, *close_files(plan), *refuse_system_calls(deny_network=plan["denyNetwork"])]
        tell(plan, {"fences": sorted(set(fences))})
        missing = sorted(set(plan["required"]) - set(fences))
        if missing:
            tell(plan, {"missing": missing})
            os._exit(os.EX_UNAVAILABLE)
        set_limits(limits)
        drop_capabilities()
        os.execve(plan["argv"][0], plan["argv"], {})  # noqa: S606 (the worker named the program)
    except BaseException as error:
        os.write(2, f"CRITICAL: the script could not be started: {error}\n".encode())
        os._exit(os.EX_OSERR)


def wait_for(pid: int) -> int:
    """Return how ``pid`` ended (its exit code, or minus the signal), reaping whatever else ends meanwhile."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


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


def tell(plan: dict[str, Any], news: dict[str, Any]) -> None:
    """Send the worker one line, on a pipe that the script itself does not get."""
    os.write(plan["report"], json.dumps(news).encode() + b"\n")


def supervise(plan: dict[str, Any]) -> None:
    """Run the plan to its end."""
    os.set_inheritable(plan["report"], False)
    fences = enter_namespaces(deny_network=plan["denyNetwork"]) if plan["namespaces"] else []
    # After the change of credentials, which clears it; a worker that died before is noticed by the next line.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != plan["worker"]:
        return
    if fences:
        first = os.fork()
        if first:
            os.waitpid(first, 0)
            return
        # The first process of the namespace: when it ends, the kernel kills every other one in it.
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        fences += mount_own(plan["work"], plan["workBytes"])
        lend_files(plan)
        ending = wait_for(start_script(plan, fences))
        collect_results(plan)
        tell(plan, {"exit": ending})
        os._exit(os.EX_OK)
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(os.EX_TEMPFAIL))
    try:
        lend_files(plan)
        ending = wait_for(start_script(plan, fences))
        collect_results(plan)
        tell(plan, {"exit": ending})
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_descendants()


if __name__ == "__main__":
    supervise(json.loads(sys.argv[1]))
