"""What the configuration of a block holds whose work a language model does.

The work itself is done by an app above this one, which registers it in ``runtimes``.
"""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


class LlmConfiguration(BaseModel):
    """``{"prompt": "Sum this up.", "input": …}`` or ``{"promptName": "explain_workflow", "input": {…}}``.

    With ``schema`` (or ``outputSchema``), a JSON Schema, the answer is JSON that fits it. Further keys are the input.
    ``cache``: false keeps answers for retries of the same piece of work only.
    """

    model_config = ConfigDict(extra="allow", alias_generator=to_camel, frozen=True, allow_inf_nan=False)

    input: JsonValue = None
    prompt: str | None = Field(None, min_length=1, max_length=200_000)
    prompt_name: str | None = Field(None, min_length=1, max_length=110)
    system: str | None = Field(None, min_length=1, max_length=50_000)
    answer_schema: dict[str, JsonValue] | None = Field(None, alias="schema")
    output_schema: dict[str, JsonValue] | None = None
    model: str | None = Field(None, min_length=1, max_length=200)
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=200_000)
    max_cost_usd: Decimal | None = Field(None, gt=0)
    cache: bool = True

    @property
    def schema_of_answer(self) -> dict[str, JsonValue] | None:
        return self.answer_schema if self.answer_schema is not None else self.output_schema

    @model_validator(mode="after")
    def one_of_each(self) -> "LlmConfiguration":
        if (self.prompt is None) == (self.prompt_name is None):
            message = "give either 'prompt' (the text) or 'promptName' (one of the service's own prompts)"
            raise PydanticCustomError("one_prompt", message)
        if self.prompt_name is not None and self.system is not None:
            raise PydanticCustomError("one_system", "'system' goes with 'prompt'; a named prompt has its own")
        if self.answer_schema is not None and self.output_schema is not None:
            raise PydanticCustomError(
                "one_schema", "'schema' and 'outputSchema' are one thing; give one of them"
            )
        return self
