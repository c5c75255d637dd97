"""What inputs and outputs of the library have in common: camelCase outside, unknown fields refused, bounded lists."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from workflow_service.agents.errors import ToolError
from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import (
    Expression,
    ValuesScope,
    compile_condition,
    compile_expression,
)
from workflow_service.engine.states import ErrorType

MAX_RECORDS = 1_000_000
MAX_PROBLEMS = 1_000

Record = dict[str, JsonValue]
Records = Annotated[list[Record], Field(max_length=MAX_RECORDS)]


class Params(BaseModel):
    """Base of the inputs."""

    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Output(BaseModel):
    """Base of the outputs."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class BadRecord(Output):
    """A record that could not be used: its ``index`` in the input, from 0, and why."""

    index: int
    reason: str


def _compiles(compile_text: Any) -> Any:
    def check(source: str) -> str:
        # A reference is replaced before the use case runs; until then it is no expression.
        if "${" in source:
            return source
        try:
            compile_text(source)
        except ExpressionError as error:
            raise PydanticCustomError("expression", "{message}", {"message": error.message}) from None
        return source

    return check


ExpressionText = Annotated[str, AfterValidator(_compiles(compile_expression))]
ConditionText = Annotated[str, AfterValidator(_compiles(compile_condition))]


def record_scope(record: Record, index: int) -> ValuesScope:
    """Return the names an expression over one record may use: its fields, ``item`` (the record) and ``index``."""
    return ValuesScope(own={"item": record, "index": index, **record})


def value_of(expression: Expression, record: Record, index: int) -> JsonValue:
    """Return what ``expression`` is for a record; raises ``ToolError`` that names the record."""
    try:
        return expression.evaluate(record_scope(record, index))
    except ExpressionError as error:
        raise bad_record(index, error.message) from None


def bad_record(index: int, reason: str) -> ToolError:
    """Return the error for a record that cannot be used."""
    return ToolError(ErrorType.VALIDATION_ERROR, f"record {index}: {reason}", details={"index": index})
