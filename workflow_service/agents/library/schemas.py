"""Records checked against a JSON schema."""

from typing import Any

from pydantic import Field, JsonValue, model_validator

from workflow_service.agents.library.bounded import bounded
from workflow_service.agents.library.shapes import MAX_PROBLEMS, Output, Params, Record, Records
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import FileSource
from workflow_service.engine.json_values import JsonUnfit, load_json

MAX_PROBLEMS_OF_ONE = 20
MAX_SCHEMA_BYTES = 1024 * 1024


class ValidateInput(Params):
    """``schema`` is a JSON schema (2020-12) that each record is to fit; it may refer to its own parts only.

    ``schema_file`` names a file of the workspace that holds it instead: its content is pinned with the template.
    """

    records: Records
    # Not the name `schema`: pydantic's models have that already.
    json_schema: dict[str, JsonValue] | None = Field(None, alias="schema")
    schema_file: FileSource | None = None

    @model_validator(mode="after")
    def one_schema(self) -> "ValidateInput":
        if (self.json_schema is None) == (self.schema_file is None):
            raise ValueError("give either 'schema' or 'schemaFile'")
        return self


class Misfit(Output):
    pointer: str
    message: str


class InvalidRecord(Output):
    index: int
    record: Record
    problems: list[Misfit]


class ValidateOutput(Output):
    """At most 1,000 of the ``invalid`` records are listed; ``invalid_count`` counts all."""

    valid: bool
    valid_records: list[Record]
    valid_count: int
    invalid: list[InvalidRecord]
    invalid_count: int


@use_case("data.validate")
def validate_records(params: ValidateInput, run: RunContext) -> ValidateOutput:
    """Check records against a JSON schema and part the valid ones from the others."""
    answers: list[list[dict[str, Any]]] = bounded(
        run,
        "validate",
        seconds=60,
        schema=_schema_of(params, run),
        values=params.records,
        max_problems=MAX_PROBLEMS_OF_ONE,
    )
    output = ValidateOutput(valid=True, valid_records=[], valid_count=0, invalid=[], invalid_count=0)
    for index, (record, problems) in enumerate(zip(params.records, answers, strict=True)):
        if not problems:
            output.valid_records.append(record)
            continue
        output.invalid_count += 1
        if len(output.invalid) < MAX_PROBLEMS:
            misfits = [Misfit(**problem) for problem in problems]
            output.invalid.append(InvalidRecord(index=index, record=record, problems=misfits))
    output.valid_count, output.valid = len(output.valid_records), not output.invalid_count
    return output


def _schema_of(params: ValidateInput, run: RunContext) -> JsonValue:
    if params.schema_file is None:
        return params.json_schema
    with run.open_schema(params.schema_file) as source:
        content = source.read(MAX_SCHEMA_BYTES + 1)
    try:
        schema = load_json(content, max_bytes=MAX_SCHEMA_BYTES)
    except JsonUnfit as error:
        raise ValueError(f"the schema file '{params.schema_file}' {error.reason}") from None
    if not isinstance(schema, dict):
        raise ValueError(f"the schema file '{params.schema_file}' holds no JSON object")
    return schema
