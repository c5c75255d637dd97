"""Files: of the workspace (on this host's disk, shared by its runs) and artifacts (of a run, wherever it goes on)."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase

from pydantic import Field

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.library.sources import Encoding, read_text
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.agents.workspace_files import (
    delete_workspace_file,
    list_workspace_files,
    move_workspace_file,
    write_workspace_file,
)
from workflow_service.artifacts.references import ArtifactRef, FileName, FileSource

MAX_TEXT_BYTES = 4 * 1024 * 1024


class ListInput(Params):
    """``pattern`` as in a shell, over the whole name: ``*.csv``, ``2026/*``."""

    pattern: str = Field("*", min_length=1, max_length=200)
    limit: int = Field(1_000, ge=1, le=100_000)


class FoundFile(Output):
    """``size`` is bytes."""

    name: str
    size: int
    modified_at: datetime


class ListOutput(Output):
    files: list[FoundFile]
    count: int
    total_bytes: int
    more: bool


@use_case("file.list")
def list_files(params: ListInput, run: RunContext) -> ListOutput:
    """List the files of the workspace, by name."""
    files: list[FoundFile] = []
    more = False
    for name, found in list_workspace_files(run.files_dir):
        if fnmatchcase(name, params.pattern):
            if len(files) == params.limit:
                more = True
                break
            modified_at = datetime.fromtimestamp(found.st_mtime, UTC)
            files.append(FoundFile(name=name, size=found.st_size, modified_at=modified_at))
    total = sum(file.size for file in files)
    return ListOutput(files=files, count=len(files), total_bytes=total, more=more)


class ReadInput(Params):
    file: FileSource
    encoding: Encoding = "utf-8"


class ReadOutput(Output):
    text: str
    lines: int


@use_case("file.read")
def read_file(params: ReadInput, run: RunContext) -> ReadOutput:
    """Read a file as text."""
    text = read_text(run, params.file, params.encoding, MAX_TEXT_BYTES)
    return ReadOutput(text=text, lines=len(text.splitlines()))


class WriteInput(Params):
    """``content_type`` follows from the name where not given."""

    text: str = Field(max_length=MAX_TEXT_BYTES)
    name: FileName
    content_type: str = Field("", max_length=100)


class StoredOutput(Output):
    artifact: ArtifactRef


@use_case("file.write")
def write_file(params: WriteInput, run: RunContext) -> StoredOutput:
    """Write a text as a file and keep it as an artifact."""
    return StoredOutput(artifact=run.save_file(params.name, params.text, content_type=params.content_type))


class StoreInput(Params):
    """``name`` is the file's own where not given."""

    file: FileSource
    name: FileName | None = None
    content_type: str = Field("", max_length=100)


@use_case("file.store")
def store_file(params: StoreInput, run: RunContext) -> StoredOutput:
    """Keep a file of the workspace as an artifact, so that other hosts and people can get at it."""
    name = params.name or run.file_name(params.file)
    with run.open_file(params.file) as source:
        return StoredOutput(artifact=run.save_file(name, source, content_type=params.content_type))


class CopyInput(Params):
    """``to`` is a name among the workspace's files; folders in it are made."""

    file: FileSource
    to: FileName
    overwrite: bool = True


class CopyOutput(Output):
    """``size`` is bytes."""

    file: str
    size: int


@use_case("file.copy")
def copy_file(params: CopyInput, run: RunContext) -> CopyOutput:
    """Copy a file of the workspace, or an artifact, to a file of the workspace."""
    with run.open_file(params.file) as source:
        try:
            write_workspace_file(run.files_dir, params.to, source, overwrite=params.overwrite)
        except FileExistsError:
            raise ValueError(f"the file '{params.to}' is there already, and 'overwrite' is false") from None
        return CopyOutput(file=params.to, size=source.tell())


class MoveInput(Params):
    file: FileName
    to: FileName


class MoveOutput(Output):
    """``moved`` is false where an earlier try had moved it."""

    file: str
    moved: bool


@use_case("file.move")
def move_file(params: MoveInput, run: RunContext) -> MoveOutput:
    """Give a file of the workspace another name, in another folder if need be."""
    moved = move_workspace_file(run.files_dir, params.file, params.to)
    if not moved:
        # Tried again after it was done: the file is where it was to go. Else there is none, and that is an error.
        run.open_file(params.to).close()
    return MoveOutput(file=params.to, moved=moved)


class DeleteInput(Params):
    file: FileName


class DeleteOutput(Output):
    """``deleted`` is false where there was none."""

    deleted: bool


@use_case("file.delete")
def delete_file(params: DeleteInput, run: RunContext) -> DeleteOutput:
    """Delete a file of the workspace."""
    return DeleteOutput(deleted=delete_workspace_file(run.files_dir, params.file))
