"""The environment is made once per state of the locks, and a half-made one is made anew."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the set-up scripts and locks that lock nothing, so that no index is asked."""
    root = tmp_path / "a project"
    shutil.copytree(SCRIPTS, root / "scripts")
    for name in ("requirements.lock", "requirements-dev.lock"):
        (root / name).write_text("# nothing\n")
    return root


def set_up(project: Path, kind: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "scripts/setup_environment.sh", kind],
        cwd=project,
        env={"PATH": os.defpath, "HOME": str(project / "no-such-home"), "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


def test_made_once_and_again_where_it_no_longer_fits(project: Path) -> None:
    first = set_up(project, "runtime")
    assert (first.returncode, first.stderr) == (0, "")
    assert "The environment is ready" in first.stdout
    python = project / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import pip"], check=False).returncode == 0

    again = set_up(project, "runtime")
    assert (again.returncode, again.stdout) == (0, "")

    more = set_up(project, "dev")
    assert "Installing requirements-dev.lock" in more.stdout
    assert "Making" not in more.stdout
    assert set_up(project, "runtime").stdout == ""

    (project / "requirements.lock").write_text("# still nothing\n")
    assert "Installing requirements.lock" in set_up(project, "runtime").stdout

    (project / ".venv" / "finished.json").unlink()  # as if killed in between
    redone = set_up(project, "runtime")
    assert redone.returncode == 0
    assert "Removing an unfinished or outdated .venv" in redone.stdout


def test_failed_install_is_not_taken_for_finished(project: Path) -> None:
    (project / "requirements.lock").write_text("no hash==1.0\n")
    failed = set_up(project, "runtime")
    assert failed.returncode == 1
    assert "The requirements could not be installed" in failed.stderr
    assert not (project / ".venv" / "finished.json").exists()


def test_old_python_is_named(project: Path) -> None:
    old = project / "old-python"
    old.write_text("#!/bin/sh\ncase $2 in *print*) echo 3.8;; *) exit 1;; esac\n")
    old.chmod(0o755)
    refused = set_up(project, "runtime", python="./old-python")
    assert refused.returncode == 1
    assert "No Python 3.11 or newer was found as ./old-python." in refused.stderr
    assert "Too old: ./old-python (3.8)." in refused.stderr


def test_no_python_at_all(project: Path) -> None:
    refused = set_up(project, "runtime", python="/no/such/python")
    assert refused.returncode == 1
    assert "No Python 3.11 or newer was found as /no/such/python." in refused.stderr
    assert "Too old" not in refused.stderr


def test_usage(project: Path) -> None:
    refused = set_up(project, "everything")
    assert refused.returncode == 2
    assert "usage: setup_environment.py" in refused.stderr
