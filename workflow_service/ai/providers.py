"""Which providers there are, and which of their models may answer a request.

A provider that failed several times in a row is passed over for a while, in this process: the next one is asked at
once. If all are down the first is tried all the same.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock

from workflow_service.ai.errors import NotConfigured
from workflow_service.settings.config import Config, get_config
from workflow_service.settings.llm import LlmModel, LlmProvider, Tier

ONE_PROVIDER = "default"
FAILURES_TO_OPEN = 3
OPEN_S = 30.0
MILLION = Decimal(1_000_000)
_RANK = {tier: rank for rank, tier in enumerate(Tier)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model at a provider."""

    provider: LlmProvider
    model: LlmModel

    @property
    def key(self) -> tuple[str, str]:
        return self.provider.name, self.model.name

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Return what so many tokens cost at this model's price."""
        model = self.model
        inside = model.input_usd_per_m_tok * prompt_tokens
        return (inside + model.output_usd_per_m_tok * completion_tokens) / MILLION


def configured_providers(config: Config | None = None) -> tuple[LlmProvider, ...]:
    """Return the providers in the order they are asked: LLM_PROVIDERS, then LLM_SERVICE_URL."""
    config = config or get_config()
    if not config.llm_service_url:
        return config.llm_providers
    model = LlmModel(
        name=config.llm_model,
        input_usd_per_m_tok=config.llm_input_usd_per_mtok,
        output_usd_per_m_tok=config.llm_output_usd_per_mtok,
    )
    one = LlmProvider.model_construct(
        name=ONE_PROVIDER, url=config.llm_service_url, api_key=config.llm_api_key, models=(model,)
    )
    return (*config.llm_providers, one)


def candidates(
    providers: Iterable[LlmProvider], *, tier: Tier = Tier.STANDARD, model: str | None = None
) -> tuple[Candidate, ...]:
    """Return who may answer, in order: by name with ``model``, else each provider's model nearest to ``tier``.

    Of two that are equally near the abler one comes first. Raises ``NotConfigured``.
    """
    providers = tuple(providers)
    if not providers:
        raise NotConfigured("no language model is configured: set LLM_SERVICE_URL or LLM_PROVIDERS")
    if model is not None:
        named = tuple(Candidate(one, m) for one in providers for m in one.models if m.name == model)
        if not named:
            known = ", ".join(sorted({m.name for one in providers for m in one.models}))
            raise NotConfigured(f"no provider has the model '{model}'; known are {known}")
        return named

    def distance(found: LlmModel) -> tuple[int, int]:
        return abs(_RANK[found.tier] - _RANK[tier]), -_RANK[found.tier]

    return tuple(Candidate(one, min(one.models, key=distance)) for one in providers)


def cheaper_than(refused: Candidate, providers: Iterable[LlmProvider]) -> tuple[Candidate, ...]:
    """Return the models that cost less than ``refused``, the ablest first: what a budget may be stretched with."""
    price = _price(refused.model)
    found = [Candidate(one, m) for one in providers for m in one.models if _price(m) < price]
    return tuple(sorted(found, key=lambda one: (-_RANK[one.model.tier], _price(one.model))))


def _price(model: LlmModel) -> Decimal:
    return model.input_usd_per_m_tok + model.output_usd_per_m_tok


class Circuits:
    """Which providers failed so often, just now, that they are passed over."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures: dict[str, int] = {}
        self._open_until: dict[str, float] = {}

    def in_order(self, found: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Return the candidates, those of providers that are passed over last."""
        now = time.monotonic()
        with self._lock:
            return tuple(sorted(found, key=lambda one: self._open_until.get(one.provider.name, 0.0) > now))

    def failed(self, provider: str) -> None:
        """Count a failure that says nothing good of the provider."""
        with self._lock:
            count = self._failures[provider] = self._failures.get(provider, 0) + 1
            if count >= FAILURES_TO_OPEN:
                self._open_until[provider] = time.monotonic() + OPEN_S

    def worked(self, provider: str) -> None:
        """Forget the provider's failures."""
        with self._lock:
            self._failures.pop(provider, None)
            self._open_until.pop(provider, None)

    def forget(self) -> None:
        """Forget everything."""
        with self._lock:
            self._failures.clear()
            self._open_until.clear()


CIRCUITS = Circuits()
