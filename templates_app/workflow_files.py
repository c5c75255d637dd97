"""Workflows kept in files: ``.json`` and ``.yaml`` hold a template as it is posted, ``.wf`` a text in the DSL.

A ``.wf`` file's states lie beside it in ``NAME.states.yaml``. A script that lies in the ``scripts`` directory beside
the file is put into the body, so that the service needs no disk in common with whoever holds the file. Everything
that is wrong is named with its file and line.
"""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from templates_app.yaml_documents import PlacedDocument, YamlInvalid, read_yaml
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.json_values import JsonUnfit, json_pointer, load_json

MAX_FILE_BYTES = 1_000_000
MAX_NAME = 200
SUFFIXES = (".json", ".yaml", ".yml", ".wf")
STATES_SUFFIXES = (".states.yaml", ".states.yml", ".states.json")
SCRIPTS = "scripts"


class WorkflowFileInvalid(WorkflowError):
    """A workflow file cannot be read; its problems say where, as ``FILE:LINE``."""

    code = "WORKFLOW_FILE_INVALID"


@dataclass(frozen=True)
class WorkflowFile:
    """A workflow as its file says it. ``body`` is what ``POST /api/v1/templates`` takes."""

    path: Path
    body: JsonObject
    document_path: Path | None
    document: PlacedDocument | None

    def place_of(self, problem: Problem) -> str:
        """Return ``FILE:LINE:COLUMN`` of a problem with the body, as exactly as it is known."""
        # In a ``.wf`` the text says the joins: their place in the definition made of it leads nowhere.
        in_text = self.path.suffix == ".wf" and problem.pointer.split("/")[1:2] in ([], ["dsl"], ["gates"])
        if in_text:
            return _place(self.path, problem.line, problem.column)
        if self.document is None or self.document_path is None:
            return str(self.path)
        return _place(self.document_path, *self.document.place_of(self._pointer_in_file(problem)))

    def _pointer_in_file(self, problem: Problem) -> str:
        """Return the pointer as the file has it: a block of the definition is a state in a ``.wf``'s states."""
        first, _, rest = problem.pointer.removeprefix("/blocks/").partition("/")
        if self.path.suffix != ".wf" or not problem.pointer.startswith("/blocks/"):
            return problem.pointer
        named = problem.blocks[0] if problem.blocks else first
        return json_pointer("states", named) + (f"/{rest}" if rest else "")


def load_workflow_file(path: Path) -> JsonObject:
    """Return the template body that the file holds; raises ``WorkflowFileInvalid``."""
    return read_workflow_file(path).body


def read_workflow_file(path: Path) -> WorkflowFile:
    """Return the file as a template body with the places of its parts; raises ``WorkflowFileInvalid``."""
    _check_suffix(path)
    text = _read_text(path)
    if path.suffix != ".wf":
        document = _read_document(path, text)
        return _with_scripts(_named(WorkflowFile(path, _fields(path, document), path, document)))
    beside = [path.with_name(path.stem + suffix) for suffix in STATES_SUFFIXES]
    found = [one for one in beside if one.exists()]
    if len(found) > 1:
        names = " and ".join(one.name for one in found)
        raise _invalid(path, f"it has states in {names}", "keep one of them")
    given = (found[0], _read_text(found[0])) if found else None
    return _with_scripts(_named(_in_dsl(path, text, given)))


def parse_workflow(
    name: str, content: bytes, *, states: tuple[str, bytes] | None = None, named: bool = True
) -> JsonObject:
    """Return the template body of a file that was sent, with the ``states`` (name, content) sent beside it.

    ``named``: a file that says no name means that of the file. Nothing is read from disk. Raises
    ``WorkflowFileInvalid``.
    """
    path = Path(PurePosixPath(name).name[-MAX_NAME:] or "file")
    _check_suffix(path)
    beside = Path(PurePosixPath(states[0]).name[-MAX_NAME:] or "states") if states else None
    if beside and (path.suffix != ".wf" or beside.suffix not in (".json", ".yaml", ".yml")):
        raise _invalid(beside, "these are no states", "send a .yaml or .json file beside a .wf file")
    text = _decode(path, content)
    if path.suffix == ".wf":
        given = (beside, _decode(beside, states[1])) if beside and states else None
        body = _in_dsl(path, text, given).body
    else:
        body = _fields(path, _read_document(path, text))
    return {"name": path.stem, **body} if named else body


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise _invalid(
            path, f"'{path.name}' is no workflow file", f"its name must end in {', '.join(SUFFIXES)}"
        )


def _named(file: WorkflowFile) -> WorkflowFile:
    return replace(file, body={"name": file.path.stem, **file.body})


def _in_dsl(path: Path, text: str, states: tuple[Path, str] | None) -> WorkflowFile:
    if states is None:
        return WorkflowFile(path, {"dsl": text}, None, None)
    beside, content = states
    document = _read_document(beside, content)
    fields = _fields(beside, document)
    graph = sorted({"dsl", "blocks", "gates", "endDependencies"}.intersection(fields))
    if graph:
        problem = Problem("BOTH_SPELLINGS", f"'{graph[0]}' does not belong here", f"/{graph[0]}")
        mend = f"the graph is said by {path.name}"
        raise _invalid(beside, problem.message, mend, *document.place_of(problem.pointer))
    if fields and "states" not in fields:
        mend = "put what each block does under 'states:', beside name, inputSchema and other fields of the template"
        raise _invalid(beside, "has no 'states'", mend, 1, 1)
    return WorkflowFile(path, {"dsl": text, **fields}, beside, document)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from None
    return _decode(path, content)


def _decode(path: Path, content: bytes) -> str:
    if len(content) > MAX_FILE_BYTES:
        raise _invalid(path, f"is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _invalid(path, "is not UTF-8", "save it as UTF-8", line, 1) from None


def _read_document(path: Path, text: str) -> PlacedDocument:
    try:
        if path.suffix == ".json":
            return PlacedDocument(load_json(text, max_bytes=MAX_FILE_BYTES), text)
        return read_yaml(text)
    except (JsonUnfit, YamlInvalid) as error:
        first = error.problems[0]
        raise _invalid(path, first.message, first.suggestion, first.line, first.column) from None


def _fields(path: Path, document: PlacedDocument) -> JsonObject:
    if not isinstance(document.value, dict):
        raise _invalid(path, "must hold the fields of a template, such as name and blocks", "", 1, 1)
    return document.value


def _with_scripts(file: WorkflowFile) -> WorkflowFile:
    """Return the file with each block's script in place of its name, where it lies beside the file."""
    body = file.body
    blocks, states = body.get("blocks"), body.get("states")
    if isinstance(blocks, list):
        body = {**body, "blocks": [_with_script(block, file.path) for block in blocks]}
    if isinstance(states, dict):
        body = {**body, "states": {name: _with_script(state, file.path) for name, state in states.items()}}
    return replace(file, body=body)


def _with_script(block: JsonValue, path: Path) -> JsonValue:
    for tool, configuration in (("toolType", "configuration"), ("callback_type", "callback_config")):
        if not isinstance(block, dict) or str(block.get(tool)).upper() != "SCRIPT":
            continue
        given = block.get(configuration)
        script = given.get("script") if isinstance(given, dict) else None
        code = _read_script(path, script) if isinstance(script, str) else None
        if isinstance(given, dict) and code is not None:
            rest = {key: value for key, value in given.items() if key != "script"}
            block = {**block, configuration: {**rest, "code": code}}
    return block


def _read_script(path: Path, script: str) -> str | None:
    """Return the text of a script beside the file; None where there is none: the service may have it."""
    home = (path.parent / SCRIPTS).resolve()
    try:
        found = (home / script).resolve(strict=True)
    except (OSError, ValueError):
        return None
    return _read_text(found) if found.is_relative_to(home) and found.is_file() else None


def _invalid(
    path: Path, message: str, suggestion: str = "", line: int | None = None, column: int | None = None
) -> WorkflowFileInvalid:
    hint = f" ({suggestion})" if suggestion else ""
    problem = Problem("WORKFLOW_FILE_INVALID", message, suggestion=suggestion, line=line, column=column)
    return WorkflowFileInvalid(f"{_place(path, line, column)}: {message}{hint}", [problem])


def _place(path: Path, line: int | None, column: int | None) -> str:
    return ":".join(str(part) for part in (path, line, column) if part is not None)
