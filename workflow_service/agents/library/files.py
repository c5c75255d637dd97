"""Facts about files of the workspace."""

import hashlib
from typing import Literal

from pydantic import BaseModel

from workflow_service.agents.use_cases import RunContext, use_case


class HashInput(BaseModel):
    file: str
    algorithm: Literal["sha256", "sha512", "sha3_256", "blake2b"] = "sha256"


class HashOutput(BaseModel):
    algorithm: str
    digest: str
    bytes: int


@use_case("file.hash")
def hash_file(params: HashInput, run: RunContext) -> HashOutput:
    """Compute the digest of a file, in hexadecimal, and its size."""
    with run.open_file(params.file) as source:
        digest = hashlib.file_digest(source, params.algorithm).hexdigest()
        return HashOutput(algorithm=params.algorithm, digest=digest, bytes=source.tell())
