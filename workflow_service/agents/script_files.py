"""The files a script is given and those it leaves: by reference outside, by name within its directory."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Invocation
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.run_files import open_run_file
from workflow_service.artifacts.references import check_name, content_type_of
from workflow_service.engine.states import ErrorType

CHUNK_BYTES = 256 * 1024
RESULTS = "out"


def put_files(invocation: Invocation, files: Mapping[str, str], given: Path, limits: ToolLimits) -> None:
    """Copy the files a script is given below ``given``; raises ``ToolError`` where they are too large together."""
    room = limits.script.file_size
    for name, source in files.items():
        if name.partition("/")[0] == RESULTS:
            message = f"a script cannot be given '{name}': '{RESULTS}' is for the files it makes"
            raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
        target = given / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = open(target, "xb")  # noqa: SIM115 (closed by the next statement)
        except OSError:
            message = f"a script cannot be given '{name}': another file's name is in its way"
            raise ToolError(ErrorType.CONFIGURATION_ERROR, message) from None
        with (
            copy,
            open_run_file(invocation.files, limits.files_dir, invocation.workspace_id, source) as content,
        ):
            while chunk := content.read(CHUNK_BYTES):
                room -= len(chunk)
                if room < 0:
                    message = f"the files are larger than {limits.script.file_size} bytes together"
                    raise ToolError(ErrorType.VALIDATION_ERROR, message)
                copy.write(chunk)


def keep_results(invocation: Invocation, results: Path) -> dict[str, JsonValue]:
    """Keep every file below ``results`` as an artifact and return the references by name; raises ``ToolError``."""
    kept: dict[str, JsonValue] = {}
    for folder, folders, names in os.walk(results):
        folders.sort()
        for file_name in sorted(names):
            path = Path(folder, file_name)
            try:
                name = check_name(str(path.relative_to(results)))
            except ValueError as error:
                raise ToolError(ErrorType.VALIDATION_ERROR, f"in out/: {error}") from None
            with open(path, "rb") as content:
                kept[name] = invocation.files.save(name, content, content_type_of(name)).model_dump(
                    mode="json"
                )
    return kept
