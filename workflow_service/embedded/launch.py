"""Become another program, tied to the life of the process that started it.

Run as a script (`python -I -S launch.py [options] -- program arguments...`), never imported: it asks the
kernel to signal this process when its parent dies, gives up root where asked, and then replaces itself by the
program, so that the pid the parent knows is the program's. A script rather than a `preexec_fn`, because code
between fork and exec is not safe in a parent that has threads. Standard library only, and it works in any
environment.
"""

import argparse
import contextlib
import ctypes
import os
import sys
from typing import NoReturn

# <linux/prctl.h>, <linux/capability.h>, <linux/sched.h>
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000
CANNOT_LAUNCH = 125
"""Exit status when the program was not started, as env(1) and its like use it."""


def main() -> NoReturn:
    options = _parse_arguments()
    try:
        if options.uid is not None:
            _become_user(options.uid, options.gid)
        if options.user_namespace:
            _enter_user_namespace()
        if options.death_signal:
            _die_with_parent(options.death_signal, options.parent)
        os.execv(options.command[0], options.command)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot start {options.command[0]}: {error}\n")
        raise SystemExit(CANNOT_LAUNCH) from error


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--death-signal", type=int, default=0)
    parser.add_argument("--user-namespace", action="store_true")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _become_user(uid: int, gid: int) -> None:
    """Give up root, but keep the right to pass directories that are root's alone, such as /root.

    Without it neither the program nor its data could be reached there. A container may have taken that right from
    root itself; then only open directories will do.
    """
    _checked(_libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl")
    with contextlib.suppress(
        OSError
    ):  # else access(2), which Postgres asks about its programs, ignores the right
        _checked(_libc().prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    kept = (
        1 << CAP_DAC_OVERRIDE
    )  # effective, permitted and inheritable, then the same for capabilities from 32
    sets = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    with contextlib.suppress(OSError):
        _checked(_libc().capset(header, sets), "capset")
        _checked(_libc().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl")


def _enter_user_namespace() -> None:
    """Be `nobody` to the program while the files stay root's: Postgres refuses to run as uid 0."""
    uid, gid = os.getuid(), os.getgid()
    _checked(_libc().unshare(CLONE_NEWUSER), "unshare")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"65534 {uid} 1")
    _write("/proc/self/gid_map", f"65534 {gid} 1")


def _die_with_parent(death_signal: int, parent: int) -> None:
    _checked(_libc().prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl")
    if os.getppid() != parent:  # it died before the kernel was asked
        raise SystemExit(CANNOT_LAUNCH)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    main()
