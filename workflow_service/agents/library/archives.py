"""Archives: made so that the same files give the same bytes, and unpacked without believing what they say."""

import gzip
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_END
from typing import IO, Annotated, BinaryIO, Literal

from pydantic import Field

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import ArtifactRef, FileName, FileSource, check_name

MAX_ENTRIES = 1_000
MAX_BYTES = 512 * 1024 * 1024
# Of one name, or of what a tar says of one entry: tarfile reads it whole, and searches it slowly.
MAX_HEADER_BYTES = 16 * 1024
IN_MEMORY_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
EARLIEST = (1980, 1, 1, 0, 0, 0)


class ArchiveFile(Params):
    """``name`` is the one in the archive; the file's own where not given."""

    file: FileSource
    name: FileName | None = None


class CreateInput(Params):
    """``files`` are names, artifacts, or objects with a ``name`` of their own. The format follows from ``name``."""

    files: Annotated[list[ArchiveFile | FileSource], Field(min_length=1, max_length=MAX_ENTRIES)]
    name: FileName = Field("archive.zip", pattern=r"\.(zip|tar\.gz|tgz)$")


class CreateOutput(Output):
    """``bytes`` is the size of what was packed."""

    artifact: ArtifactRef
    count: int
    bytes: int


@use_case("archive.create")
def create_archive(params: CreateInput, run: RunContext) -> CreateOutput:
    """Pack files into a ZIP or tar.gz archive and keep it as an artifact."""
    files = [one if isinstance(one, ArchiveFile) else ArchiveFile(file=one) for one in params.files]
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as target:
        pack = _pack_zip if params.name.endswith(".zip") else _pack_tar
        total = pack(_opened(files, run), target)
        target.seek(0)
        artifact = run.save_file(params.name, target)  # type: ignore[arg-type]
    return CreateOutput(artifact=artifact, count=len(files), bytes=total)


def _opened(files: list[ArchiveFile], run: RunContext) -> Iterator[tuple[str, BinaryIO, int]]:
    """Yield each file with its name in the archive and its size, and close it when the next is wanted."""
    seen: set[str] = set()
    room = MAX_BYTES
    for one in files:
        with run.open_file(one.file) as source:
            name = one.name or check_name(run.file_name(one.file))
            if name in seen:
                raise ValueError(f"two files would be '{name}' in the archive; give one another 'name'")
            seen.add(name)
            size = source.seek(0, SEEK_END)
            source.seek(0)
            room -= size
            if room < 0:
                raise ValueError(f"the files are larger than {MAX_BYTES} bytes together")
            yield name, source, size


def _pack_zip(files: Iterator[tuple[str, BinaryIO, int]], target: IO[bytes]) -> int:
    total = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source, size in files:
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = size
            with archive.open(entry, "w") as packed:
                total += _copy(source, packed, size)
    return total


def _pack_tar(files: Iterator[tuple[str, BinaryIO, int]], target: IO[bytes]) -> int:
    total = 0
    with (
        gzip.GzipFile("", "wb", 6, target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, source, size in files:
            entry = tarfile.TarInfo(name)
            entry.size = size
            # Exactly as many bytes as its head says, though the file may have changed meanwhile.
            archive.addfile(entry, source)
            total += size
    return total


class ExtractInput(Params):
    """``only`` names the entries wanted; ``prefix`` is put before the names of what is kept."""

    archive: FileSource
    format: Literal["auto", "zip", "tar"] = "auto"
    only: list[str] | None = Field(None, max_length=MAX_ENTRIES)
    prefix: str = Field("", max_length=100)
    max_bytes: int = Field(256 * 1024 * 1024, ge=1, le=MAX_BYTES)


class ExtractOutput(Output):
    """``bytes`` is the size of what was unpacked."""

    files: list[ArtifactRef]
    count: int
    bytes: int


@use_case("archive.extract")
def extract_archive(params: ExtractInput, run: RunContext) -> ExtractOutput:
    """Unpack a ZIP or tar archive; each file becomes an artifact. Names that lead elsewhere are refused."""
    with run.open_file(params.archive) as source, _entries(source, params.format) as entries:
        files: list[ArtifactRef] = []
        seen: set[str] = set()
        room = params.max_bytes
        for name, content in entries:
            if params.only is not None and name not in params.only:
                continue
            kept_name = check_name(params.prefix + name)
            if kept_name in seen:
                raise ValueError(f"the archive holds '{name}' twice")
            seen.add(kept_name)
            if len(files) == MAX_ENTRIES:
                raise ValueError(f"the archive holds more than {MAX_ENTRIES} files")
            with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as unpacked:
                room -= _copy(content, unpacked, room)
                unpacked.seek(0)
                files.append(run.save_file(kept_name, unpacked))  # type: ignore[arg-type]
    return ExtractOutput(files=files, count=len(files), bytes=params.max_bytes - room)


class _BoundedEntry(tarfile.TarInfo):
    """An entry whose headers are read only where they are as short as headers are."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise ValueError(f"'{self.name}' in the archive is a sparse file; pack it as a plain one")
        if self.type in _HEADERS_OF_TAR and self.size > MAX_HEADER_BYTES:
            raise ValueError(f"the archive holds a header of {self.size} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


_HEADERS_OF_TAR = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)


@contextmanager
def _entries(source: BinaryIO, kind: str) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    try:
        if kind == "zip" or (kind == "auto" and zipfile.is_zipfile(source)):
            source.seek(0)
            with zipfile.ZipFile(source) as archive:
                yield _zip_entries(archive)
        else:
            source.seek(0)
            with tarfile.open(fileobj=source, mode="r|*", tarinfo=_BoundedEntry) as packed:
                yield _tar_entries(packed)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise ValueError(f"the archive cannot be read: {error}") from None


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    for entry in archive.infolist():
        if not entry.is_dir():
            with archive.open(entry) as content:
                yield entry.filename, content


def _tar_entries(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for entry in archive:
        if entry.isdir():
            continue
        content = archive.extractfile(entry) if entry.isreg() else None
        if content is None:
            raise ValueError(f"'{entry.name}' in the archive is a link or a device, not a file")
        yield entry.name.removeprefix("./"), content


def _copy(source: IO[bytes], target: IO[bytes], room: int) -> int:
    # What is really unpacked is counted: the sizes an archive states are its author's.
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        size += len(chunk)
        if size > room:
            raise ValueError("there are more bytes than there should be, or than 'maxBytes' allows")
        target.write(chunk)
    return size
