"""Files that a definition names, pinned with its version: what a version runs is what it was written with.

Scripts and schema files lie on disk, where they may change at any time. When a version is written their contents are
kept by digest, and its runs read those. A file that is not there then is not pinned: a run takes what it finds.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from workflow_service.accounts.models import Workspace
from workflow_service.agents.configuration import REFERENCE
from workflow_service.agents.errors import ToolError
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.workspace_files import open_workspace_file
from workflow_service.artifacts.pinned import MAX_PINNED_BYTES, keep_content, read_content
from workflow_service.artifacts.references import is_artifact_id
from workflow_service.engine.definition import Block, Definition, JsonObject
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import ToolType

Kind = Literal["scripts", "schemas"]
# By kind: the tool whose configuration names such files, and the key that does.
_NAMED_BY: Mapping[Kind, tuple[ToolType, str]] = {
    "scripts": (ToolType.SCRIPT, "script"),
    "schemas": (ToolType.USE_CASE, "schemaFile"),
}
# By kind, name: the contents that come with a definition, as texts.
GivenFiles = Mapping[str, Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that a block names, and where it does."""

    kind: Kind
    name: str
    pointer: str
    block_id: str


def named_files(definition: Definition) -> Iterator[NamedFile]:
    """Yield the files that the configurations of a definition name; names with ``${...}`` are known in a run only."""
    for index, block in enumerate(definition.blocks):
        for pointer, tool_type, configuration in _configurations(block):
            for kind, (tool, key) in _NAMED_BY.items():
                if tool_type not in (tool, None):
                    continue
                for place, held in (("", configuration), ("/input", configuration.get("input"))):
                    name = held.get(key) if isinstance(held, dict) else None
                    if isinstance(name, str) and REFERENCE not in name and not is_artifact_id(name):
                        where = json_pointer("blocks", index) + f"{pointer}{place}/{key}"
                        yield NamedFile(kind, name, where, block.block_id)


def named_artifacts(document: JsonValue) -> set[str]:
    """Return the ids of artifacts that stand anywhere in a definition's document."""
    if isinstance(document, str):
        return {document} if is_artifact_id(document) else set()
    members = list(document.values()) if isinstance(document, dict) else document
    return (
        {one for member in members for one in named_artifacts(member)} if isinstance(members, list) else set()
    )


def pin_files(
    definition: Definition,
    workspace: Workspace,
    given: GivenFiles | None = None,
    before: JsonObject | None = None,
) -> dict[str, JsonValue]:
    """Keep the contents of the files a definition names; return their digests by kind and name.

    ``given`` are contents that came with the definition: they go before what lies on disk. What is in neither place
    stays as it was pinned ``before``.
    """
    pinned: dict[str, JsonObject] = {}
    for file in named_files(definition):
        content = _given_content(file, given)
        if content is None:
            content = _content_on_disk(file, workspace)
        digest = _digest_of(before or {}, file) if content is None else keep_content(workspace.pk, content)
        if digest is not None:
            pinned.setdefault(file.kind, {})[file.name] = digest
    return dict(pinned)


def pinned_contents(pinned: JsonObject, definition: Definition, workspace_id: int) -> JsonObject:
    """Return the files of a version as they are exported: texts by kind and name, null for what it has not."""
    files: dict[str, JsonObject] = {}
    for file in named_files(definition):
        digest = _digest_of(pinned, file)
        text = None
        if digest is not None:
            # What is no text has no place in a file of texts: it is told as missing.
            with suppress(UnicodeError):
                text = read_content(workspace_id, digest).decode()
        files.setdefault(file.kind, {})[file.name] = text
    return dict(files)


def missing_files(
    definition: Definition, workspace: Workspace, pinned: JsonObject, given: GivenFiles | None = None
) -> Iterator[Finding]:
    """Yield a warning for each file that is neither given, nor pinned, nor on this server."""
    for file in named_files(definition):
        there = (
            _given_content(file, given) is not None
            or _digest_of(pinned, file) is not None
            or _content_on_disk(file, workspace) is not None
        )
        if not there:
            yield Finding(
                "FILE_MISSING",
                f"the workspace has no file '{file.name}' among its {file.kind} that can be pinned",
                pointer=file.pointer,
                suggestion=f"put it there and save the template again, or send it under 'files'/'{file.kind}'",
                blocks=(file.block_id,),
                severity=Severity.WARNING,
            )


def file_problems(files: object) -> list[Problem]:
    """Return what is wrong with ``files`` as a body gives them."""
    if not isinstance(files, dict):
        return [Problem("NOT_AN_OBJECT", "must be an object of scripts and schemas", "/files")]
    problems = []
    for kind, names in files.items():
        if kind not in _NAMED_BY:
            mend = f"known are {', '.join(_NAMED_BY)}"
            problems.append(
                Problem("UNKNOWN_FIELD", f"there is no kind of files '{kind}'", f"/files/{kind}", mend)
            )
        elif not isinstance(names, dict):
            problems.append(
                Problem("NOT_AN_OBJECT", "must be an object of names and texts", f"/files/{kind}")
            )
        else:
            wrong = f"must be a text of at most {MAX_PINNED_BYTES} bytes"
            problems += [
                Problem("BAD_FILE", wrong, json_pointer("files", kind, name))
                for name, text in names.items()
                if not (text is None or (isinstance(text, str) and len(text.encode()) <= MAX_PINNED_BYTES))
            ]
    return problems


def _configurations(block: Block) -> Iterator[tuple[str, ToolType | None, JsonObject]]:
    yield "/configuration", block.tool_type, block.configuration
    for name in ("fallback", "compensate"):
        work = getattr(block.recovery, name, None)
        if work is not None:
            tool_type = ToolType(work.tool_type) if work.tool_type else block.tool_type
            yield f"/recovery/{name}/configuration", tool_type, work.configuration


def _digest_of(pinned: JsonObject, file: NamedFile) -> str | None:
    names = pinned.get(file.kind)
    digest = names.get(file.name) if isinstance(names, dict) else None
    return digest if isinstance(digest, str) else None


def _given_content(file: NamedFile, given: GivenFiles | None) -> bytes | None:
    text = (given or {}).get(file.kind, {}).get(file.name)
    return None if text is None else text.encode()


def _content_on_disk(file: NamedFile, workspace: Workspace) -> bytes | None:
    limits = tool_limits()
    root = limits.scripts_dir if file.kind == "scripts" else limits.files_dir
    try:
        with open_workspace_file(root, workspace.public_id, file.name) as source:
            content = source.read(MAX_PINNED_BYTES + 1)
    except (ToolError, OSError):
        return None
    return content if len(content) <= MAX_PINNED_BYTES else None
