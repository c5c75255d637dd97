"""Digests of texts, values and files."""

import hashlib
import hmac
import json
from typing import Literal

from pydantic import JsonValue, model_validator

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import FileSource

CHUNK_BYTES = 1024 * 1024
Algorithm = Literal["sha256", "sha512", "sha3_256", "blake2b"]


class FileHashInput(Params):
    file: FileSource
    algorithm: Algorithm = "sha256"


class FileHashOutput(Output):
    algorithm: str
    digest: str
    bytes: int


@use_case("file.hash")
def hash_file(params: FileHashInput, run: RunContext) -> FileHashOutput:
    """Compute the digest of a file, in hexadecimal, and its size."""
    with run.open_file(params.file) as source:
        digest = hashlib.new(params.algorithm)
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
        return FileHashOutput(algorithm=params.algorithm, digest=digest.hexdigest(), bytes=source.tell())


class HashInput(Params):
    """Give one of ``text``, ``value`` (hashed as canonical JSON) or ``file``.

    ``key`` makes it a keyed digest (HMAC); let it come from a secret. ``expected`` is compared with what was computed.
    """

    text: str | None = None
    value: JsonValue = None
    file: FileSource | None = None
    algorithm: Algorithm = "sha256"
    key: str | None = None
    expected: str | None = None

    @model_validator(mode="after")
    def one_source(self) -> "HashInput":
        if len(self.model_fields_set & {"text", "value", "file"}) != 1:
            raise ValueError("give one of 'text', 'value' and 'file'")
        return self


class HashOutput(Output):
    """``matches`` is null where nothing was expected."""

    algorithm: str
    digest: str
    bytes: int
    matches: bool | None


@use_case("hash.compute")
def compute_hash(params: HashInput, run: RunContext) -> HashOutput:
    """Compute the digest of a text, a value or a file, keyed if asked, and compare it with the one expected."""
    digest = (
        hashlib.new(params.algorithm)
        if params.key is None
        else hmac.new(params.key.encode(), digestmod=params.algorithm)
    )
    size = 0
    if params.file is not None:
        with run.open_file(params.file) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    else:
        content = _content(params)
        digest.update(content)
        size = len(content)
    answer = digest.hexdigest()
    matches = (
        None
        if params.expected is None
        else hmac.compare_digest(answer.encode(), params.expected.strip().lower().encode())
    )
    return HashOutput(algorithm=params.algorithm, digest=answer, bytes=size, matches=matches)


def _content(params: HashInput) -> bytes:
    if params.text is not None:
        return params.text.encode()
    return json.dumps(params.value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
