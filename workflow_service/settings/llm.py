"""What is set about providers of language models: where they are, what they offer, and what that costs."""

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.alias_generators import to_camel


class Tier(StrEnum):
    """How able a model is, and how dear: prompts name a tier, providers say which of their models is of it."""

    ECONOMY = "economy"
    STANDARD = "standard"
    PREMIUM = "premium"


class _Setting(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class LlmModel(_Setting):
    """A model of a provider; prices are USD per million tokens."""

    name: str = Field(min_length=1, max_length=200)
    input_usd_per_m_tok: Decimal = Field(Decimal(0), ge=0, le=100_000)
    output_usd_per_m_tok: Decimal = Field(Decimal(0), ge=0, le=100_000)
    tier: Tier = Tier.STANDARD


class LlmProvider(_Setting):
    """An OpenAI-compatible endpoint. ``url`` is the base, such as ``https://api.openai.com/v1``."""

    name: str = Field(min_length=1, max_length=100)
    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    api_key: SecretStr | None = None
    models: tuple[LlmModel, ...] = Field(min_length=1)

    @field_validator("models", mode="after")
    @classmethod
    def one_of_each_name(cls, models: tuple[LlmModel, ...]) -> tuple[LlmModel, ...]:
        names = [model.name for model in models]
        if len(set(names)) != len(names):
            raise ValueError("two models have one name")
        return models
