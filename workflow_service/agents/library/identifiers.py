"""Ids that are the same each time a block is tried again, so that what they name is not made twice."""

import base64
import hashlib
import uuid
from typing import Literal

from pydantic import Field

from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.use_cases import RunContext, use_case

SHORT_BYTES = 10


class IdInput(Params):
    """``uuid`` and ``short`` follow from the block's own key: every try of it gets the same ones. ``random`` does not.

    None of them is a secret.
    """

    kind: Literal["uuid", "short", "random"] = "uuid"
    count: int = Field(1, ge=1, le=10_000)
    prefix: str = Field("", max_length=50)


class IdOutput(Output):
    """``id`` is the first of ``ids``."""

    id: str
    ids: list[str]


@use_case("id.generate")
def generate_ids(params: IdInput, run: RunContext) -> IdOutput:
    """Make ids: as UUIDs or short ones, the same on every try of the block."""
    ids = [params.prefix + _id(params.kind, run.idempotency_key, number) for number in range(params.count)]
    return IdOutput(id=ids[0], ids=ids)


def _id(kind: str, key: str, number: int) -> str:
    if kind == "random":
        return str(uuid.uuid4())
    digest = hashlib.sha256(f"{key}\n{kind}\n{number}".encode()).digest()
    if kind == "short":
        return base64.b32encode(digest[:SHORT_BYTES]).decode().lower()
    # Version 8 is for one's own way of making them (RFC 9562).
    value = int.from_bytes(digest[:16]) & ~(0xF << 76) & ~(0x3 << 62) | (8 << 76) | (2 << 62)
    return str(uuid.UUID(int=value))
