"""The use case of the matrix, loaded by its workers: it asks the wire for its work, as any client library would."""

import json
import os
import signal
from typing import Any
from urllib.request import Request, urlopen

from pydantic import BaseModel, JsonValue

from workflow_service.agents.use_cases import RunContext, use_case


class Work(BaseModel):
    """Where the work is done; ``timeout_s`` bounds a request as careful authors do."""

    url: str
    timeout_s: float = 30.0


@use_case("faults.work")
def work(params: Work, run: RunContext) -> dict[str, JsonValue]:
    """Do the work, or what the other side says becomes of it."""
    order = Request(params.url, b"{}", {"Idempotency-Key": run.idempotency_key}, method="POST")  # noqa: S310
    with urlopen(order, timeout=params.timeout_s) as answer:  # noqa: S310 - the matrix's own server
        said: dict[str, Any] = json.loads(answer.read())
    match said.pop("then", None):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "declined":
            raise ValueError("the card is declined")
        case "forbidden":
            raise PermissionError("this account may not pay")
        case "bug":
            return dict(said["result"])
    return said
