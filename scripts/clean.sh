#!/bin/sh
# Remove the environment, the caches and the private servers' data; refuse while a stack runs on that data.
set -eu

cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ] && [ -d .data ]; then
    .venv/bin/python -I - <<'PYTHON'
import fcntl, pathlib, sys
for lock in pathlib.Path(".data").glob("*.lock"):
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("A stack runs on .data (see .data/stack.lock for its pid). Stop it first.")
PYTHON
fi
rm -rf .venv .data build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
find . -name __pycache__ -type d -prune -exec rm -rf {} +
echo "Clean."
