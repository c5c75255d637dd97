"""Decide as whom the private Postgres runs, for it refuses to run as root.

An ordinary user runs it as itself. Root runs it as `nobody` inside a user namespace of its own, which leaves
the files root's and needs no system user; where the kernel forbids user namespaces, as the real user
`nobody`, who is given the cluster's files.
"""

import os
import pwd
import subprocess
from pathlib import Path

from workflow_service.embedded.errors import DataDirectoryUnusable
from workflow_service.embedded.processes import Identity, launch_command

PROBE_TIMEOUT_S = 20


def choose_postgres_identity(cluster: Path, postgres: Path) -> Identity:
    """Return as whom to run a cluster that may not exist yet.

    Raises `DataDirectoryUnusable` if its files belong to a user whom this process cannot be.
    """
    owner = cluster.stat().st_uid if cluster.exists() else os.geteuid()
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise DataDirectoryUnusable(cluster, f"it belongs to {_user_name(owner)}")
        return Identity()
    if owner != 0:  # made by an ordinary user, or by root where namespaces were forbidden
        return _as_user(owner)
    namespace = Identity(user_namespace=True)
    if _runs_as(namespace, postgres):
        return namespace
    if cluster.exists():
        raise DataDirectoryUnusable(cluster, "root made it in a user namespace, which the system now forbids")
    return _as_user(pwd.getpwnam("nobody").pw_uid)


def hand_over(path: Path, identity: Identity) -> None:
    """Give a path to the user as whom a server runs; nothing if that is the owner already."""
    if identity.uid is not None and identity.gid is not None:
        os.chown(path, identity.uid, identity.gid)


def _as_user(uid: int) -> Identity:
    try:
        return Identity(uid=uid, gid=pwd.getpwuid(uid).pw_gid)
    except KeyError:
        return Identity(uid=uid, gid=uid)


def _runs_as(identity: Identity, postgres: Path) -> bool:
    command = launch_command([str(postgres), "--version"], identity=identity)
    try:
        result = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
