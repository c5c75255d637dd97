"""Load what was deployed and ask it for its version and its own check."""

import json
import sys
from pathlib import Path
from types import ModuleType


def main() -> None:
    message = json.load(sys.stdin)
    path = Path(message["context"]["filesDir"], message["input"]["deployed"])
    module = ModuleType("deployed")
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), module.__dict__)  # noqa: S102 - sandboxed
    problem = str(module.self_check())
    json.dump({"healthy": not problem, "problem": problem, "version": str(module.VERSION)}, sys.stdout)


main()
