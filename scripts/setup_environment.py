"""Make the virtual environment `.venv` from the locked requirements, once for every state of the locks.

A stamp inside the environment says for which locks, interpreter and place it was finished. Without a stamp
that fits, the environment is half-made or stale, and is made anew. Standard library only: this runs before
anything is installed.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "finished.json"
LOCKS = {"runtime": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
PIP_WITH_TARGET_PYTHON = (22, 3)
VENV_MISSING = """\
This Python ({python}) cannot make virtual environments: it has neither ensurepip nor pip 22.3 or newer.
Install them (Debian and Ubuntu: apt install python3-venv),
or name another Python: make ... PYTHON=/path/to/python3"""


class SetupFailed(Exception):
    """The environment could not be made; the message says why and what to do."""


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[-1] not in LOCKS or arguments[:-1] not in ([], ["--is-finished"]):
        print(f"usage: setup_environment.py [--is-finished] {'|'.join(LOCKS)}", file=sys.stderr)
        return 2
    if arguments[:-1]:
        return 0 if is_finished(arguments[-1]) else 1
    try:
        # Two at once would undo each other's work; the second waits, and finds it done.
        with LOCKS["runtime"].open("rb") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            set_up(arguments[0])
    except SetupFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nThe environment {VENV} could not be made: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next run starts the set-up anew.", file=sys.stderr)
        return 130
    return 0


def set_up(kind: str) -> None:
    """Make the environment hold a lock's packages; `dev` holds all of `runtime`."""
    if is_finished(kind):
        return
    if not read_stamp():
        make_environment()
    STAMP.unlink(missing_ok=True)
    install(LOCKS[kind])
    kinds = LOCKS if kind == "dev" else ["runtime"]
    write_stamp({name: digest(LOCKS[name]) for name in kinds})
    say(f"The environment is ready ({kind}).")


def is_finished(kind: str) -> bool:
    return read_stamp().get(kind) == digest(LOCKS[kind])


def digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def read_stamp() -> dict[str, str]:
    """Return what the environment was finished for; empty if it is absent, unfinished, moved or broken."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
        fits = stamp["place"] == str(VENV) and stamp["python"] == python_version()
    except (OSError, ValueError, KeyError, TypeError, subprocess.CalledProcessError):
        return {}
    return stamp if fits else {}


def write_stamp(digests: dict[str, str]) -> None:
    temporary = STAMP.with_suffix(".new")
    stamp = {**digests, "place": str(VENV), "python": python_version()}
    temporary.write_text(json.dumps(stamp, indent=2) + "\n")
    temporary.replace(STAMP)


def python_version() -> str:
    """Return the version of the environment's own Python; raises if it no longer starts."""
    command = [str(VENV / "bin" / "python"), "-I", "-c", "import sys; print(sys.version)"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[0]


def make_environment() -> None:
    """Make an empty environment with this interpreter, in place of whatever is there."""
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        say("Removing an unfinished or outdated .venv ...")
        shutil.rmtree(VENV)
    say(f"Making .venv with Python {sys.version.split()[0]} ...")
    if has_ensurepip():
        run([sys.executable, "-I", "-m", "venv", str(VENV)], "The virtual environment could not be made.")
    elif outer_pip_version() >= PIP_WITH_TARGET_PYTHON:
        run(
            [sys.executable, "-I", "-m", "venv", "--without-pip", str(VENV)],
            "The virtual environment could not be made.",
        )
    else:
        raise SetupFailed(VENV_MISSING.format(python=sys.executable))


def install(lock: Path) -> None:
    say(f"Installing {lock.name} (a minute or two the first time) ...")
    python = str(VENV / "bin" / "python")
    if (VENV / "bin" / "pip").exists():
        pip = [python, "-I", "-m", "pip"]
    else:
        pip = [sys.executable, "-I", "-m", "pip", "--python", python]
    run(
        [*pip, "install", "--require-hashes", "--quiet", "--no-input", "--progress-bar=off", "-r", str(lock)],
        "The requirements could not be installed: see pip's words above. pip must reach a package index; "
        "its own configuration says which.",
    )


def run(command: Sequence[str], complaint: str) -> None:
    # A setting meant for the user's own installs would break the one into the environment.
    environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME", "PYTHONPATH"):
        environment.pop(name, None)
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise SetupFailed(complaint)


def has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None


def outer_pip_version() -> tuple[int, ...]:
    """Return the version of this interpreter's own pip; (0,) if it has none."""
    result = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "--version"], capture_output=True, text=True, check=False
    )
    words = result.stdout.split()
    if result.returncode != 0 or len(words) < 2:
        return (0,)
    return tuple(int(part) for part in words[1].split(".") if part.isdigit())


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
