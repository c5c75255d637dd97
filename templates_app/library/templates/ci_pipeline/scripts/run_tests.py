"""Run the test functions of one file against a module, in the order in which they stand."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def main() -> None:
    message = json.load(sys.stdin)
    given = message["input"]
    module = ModuleType("module")
    exec(compile(given["source"], "module.py", "exec"), module.__dict__)  # noqa: S102 - its own process, sandboxed
    tests: dict[str, Any] = {"module": module}
    path = Path(message["context"]["filesDir"], given["tests"])
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), tests)  # noqa: S102
    passed, failures = 0, []
    for name, test in tests.items():
        if name.startswith("test_"):
            try:
                test()
                passed += 1
            except Exception as error:
                failures.append(f"{name}: {str(error) or type(error).__name__}")
    json.dump({"file": path.name, "passed": passed, "failures": failures, "green": not failures}, sys.stdout)


main()
