"""Which of the allowed strategies is best tried first: what worked before, for the class of errors and for this one.

Advice changes the order of strategies that do the work again, and never adds one. A rate of success is a Beta
distribution: its prior for a class of errors is the declared order, its prior for one pattern of error (a fingerprint)
is what is known of the class, so that little evidence changes little and much of it wins.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from workflow_service.engine.beta_distribution import Beta
from workflow_service.engine.states import ErrorType
from workflow_service.engine.states import RecoveryStrategy as S

# These do the work again, so that what worked before says which to try first. The others give something up.
DOES_THE_WORK = frozenset({S.RETRY, S.REASSIGN, S.QUEUE, S.FALLBACK})

# The declared order counts as this many observations; its first strategy is expected to work so often, its last so.
PRIOR_WEIGHT = 10
PRIOR_FIRST, PRIOR_LAST = 0.7, 0.3
# What is known of the other errors of the class counts as at most this many observations of one pattern.
CLASS_WEIGHT = 10
MAX_MESSAGE_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """How often a strategy worked, and did not."""

    succeeded: int = 0
    failed: int = 0

    @property
    def tries(self) -> int:
        return self.succeeded + self.failed

    def without(self, part: "SuccessRate") -> "SuccessRate":
        """Return the rest, where ``part`` is counted in."""
        return SuccessRate(max(self.succeeded - part.succeeded, 0), max(self.failed - part.failed, 0))


Rates = Mapping[S, SuccessRate]


@dataclass(frozen=True, slots=True)
class Experience:
    """How the strategies fared: ``of_class`` for all errors of the class, ``of_pattern`` for those like this one."""

    of_class: Rates = field(default_factory=dict)
    of_pattern: Rates = field(default_factory=dict)

    def posterior(self, strategy: S, prior: float) -> Beta:
        """Return what is known of a strategy for this error; ``prior`` is the rate that its place lets expect."""
        own = self.of_pattern.get(strategy, SuccessRate())
        others = self.of_class.get(strategy, SuccessRate()).without(own)
        of_class = Beta.around(prior, PRIOR_WEIGHT).after(others.succeeded, others.failed)
        # Without anything of its own it is as its class, with all the evidence that there is for that.
        if not own.tries:
            return of_class
        weight = min(of_class.weight, CLASS_WEIGHT)
        return Beta.around(of_class.mean, weight).after(own.succeeded, own.failed)

    def reason(self, strategy: S) -> str:
        """Return what is known of a strategy, in words."""
        own, all_of_class = self.of_pattern.get(strategy), self.of_class.get(strategy)
        if own is not None and own.tries:
            return f"worked in {own.succeeded} of {own.tries} cases of this error"
        if all_of_class is not None and all_of_class.tries:
            return f"worked in {all_of_class.succeeded} of {all_of_class.tries} cases"
        return "in the declared order"


@dataclass(frozen=True, slots=True)
class Advice:
    """A strategy with its expected rate of success (0 to 1) and why it stands where it does."""

    strategy: S
    expected: float
    reason: str


@dataclass(frozen=True, slots=True)
class ModelAdvice:
    """What a language model advises. ``confidence`` is 0 to 100; ``delay_s`` None where it says nothing of it."""

    strategy: S
    reasoning: str
    confidence: int
    model: str
    delay_s: float | None = None


def error_shape(message: str) -> str:
    """Return an error's message without what differs between errors that are alike: numbers, ids, quoted values."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", message[:MAX_MESSAGE_CHARACTERS])
    return re.sub(r"\b(?=\w*\d)[0-9A-Za-z_-]+\b", "#", text)


def fingerprint(error_type: ErrorType, message: str) -> str:
    """Return a short name for errors that are alike."""
    return sha256(f"{error_type}:{error_shape(message)}".encode()).hexdigest()[:16]


def prior_of(place: int, length: int) -> float:
    """Return how often the strategy at ``place`` of so many is expected to work before anything was seen."""
    return PRIOR_FIRST if length == 1 else PRIOR_FIRST - (PRIOR_FIRST - PRIOR_LAST) * place / (length - 1)


def advise(strategies: Sequence[S], experience: Experience) -> tuple[Advice, ...]:
    """Return the strategies in the order in which they are best tried, each with its reason.

    Only neighbours that do the work again change places: by the mean of what is known of each.
    """
    found: list[Advice] = []
    for group in _neighbours(strategies):
        does_the_work = group[0] in DOES_THE_WORK
        priors = [
            prior_of(place, len(group)) if does_the_work else PRIOR_FIRST for place in range(len(group))
        ]
        weighed = [
            Advice(each, experience.posterior(each, prior).mean, experience.reason(each))
            for each, prior in zip(group, priors, strict=True)
        ]
        found += sorted(weighed, key=lambda advice: -advice.expected) if does_the_work else weighed
    return tuple(found)


def _neighbours(strategies: Sequence[S]) -> list[list[S]]:
    """Return the strategies in groups of neighbours that do the work again, and that do not."""
    groups: list[list[S]] = []
    for strategy in strategies:
        if groups and (strategy in DOES_THE_WORK) == (groups[-1][0] in DOES_THE_WORK):
            groups[-1].append(strategy)
        else:
            groups.append([strategy])
    return groups
