#!/bin/sh
# Find a Python that will do, and let it make the environment. In shell, because an old Python could not even say so.
set -eu

cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ] && .venv/bin/python -I scripts/setup_environment.py --is-finished "$@"; then
    exit 0
fi

too_old=""
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        exec "$candidate" -I scripts/setup_environment.py "$@"
    fi
    too_old="$too_old $candidate ($version)"
done

echo "No Python 3.11 or newer was found${PYTHON:+ as $PYTHON}." >&2
[ -z "$too_old" ] || echo "Too old:$too_old." >&2
echo "Install one (Debian 12 and later, Ubuntu 24.04 and later: apt install python3 python3-venv)," >&2
echo "or name one: make ... PYTHON=/path/to/python3" >&2
exit 1
