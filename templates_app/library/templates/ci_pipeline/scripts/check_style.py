"""Check a Python module: that it can be parsed, its line length, blanks at line ends, names imported and not used."""

import ast
import json
import sys
from collections.abc import Iterator


def problems_of(source: str, max_length: int) -> Iterator[tuple[int, str]]:
    """Yield line and fault of everything that is wrong."""
    for number, line in enumerate(source.splitlines(), start=1):
        if len(line) > max_length:
            yield number, f"{len(line)} characters, {max_length} are allowed"
        if line != line.rstrip():
            yield number, "blanks at the end"
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield error.lineno or 0, f"cannot be parsed: {error.msg}"
        return
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = (alias.asname or alias.name).partition(".")[0]
                if name not in used:
                    yield node.lineno, f"'{name}' is imported and not used"


def main() -> None:
    given = json.load(sys.stdin)["input"]
    found = sorted(problems_of(given["source"], given["maxLineLength"]))
    problems = [{"line": line, "problem": problem} for line, problem in found]
    json.dump({"clean": not problems, "problems": problems}, sys.stdout)


main()
