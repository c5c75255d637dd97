"""Failures that come more often than they used to, and paths that runs hardly ever take: counts, judged pure."""

import math
from collections.abc import Mapping

RECENT = 20
REFERENCE = 200
MIN_REFERENCE = 30
# Above this probability a rate that was surprising is so no more.
CALM = 0.05


def rate_surprise(outcomes: str) -> float | None:
    """Return how probable it is to fail as often as lately, by how often it failed before; None: too little is known.

    ``outcomes`` has one character per run, oldest first: ``1`` where it failed. The ``RECENT`` last are compared with
    those before, by the beta-binomial distribution that they and Jeffreys' prior predict.
    """
    before, recent = outcomes[:-RECENT], outcomes[-RECENT:]
    if len(before) < MIN_REFERENCE:
        return None
    failed = before.count("1")
    return beta_binomial_tail(recent.count("1"), len(recent), failed + 0.5, len(before) - failed + 0.5)


def usual_failures(outcomes: str, probability: float) -> int:
    """Return the most failures among the ``RECENT`` last runs that are more probable than that."""
    before = outcomes[:-RECENT]
    failed = before.count("1")
    a, b = failed + 0.5, len(before) - failed + 0.5
    usual = 0
    while usual < RECENT and beta_binomial_tail(usual + 1, RECENT, a, b) > probability:
        usual += 1
    return usual


def beta_binomial_tail(least: int, tries: int, a: float, b: float) -> float:
    """Return the probability of ``least`` successes or more in ``tries``, whose own probability is Beta(a, b)."""
    whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return min(
        1.0,
        sum(
            math.comb(tries, k)
            * math.exp(math.lgamma(a + k) + math.lgamma(b + tries - k) - math.lgamma(a + b + tries) - whole)
            for k in range(least, tries + 1)
        ),
    )


def path_probability(path: str, counts: Mapping[str, int]) -> float:
    """Return how probable a run with a path as rare as this one is, given how many runs took each.

    The run is put among the others: it is the share of all whose path no more others took than took this one's. That
    holds whatever the distribution (conformal prediction, Vovk 2005), so a path is judged rare only where there is
    history enough to say so.
    """
    others = counts.get(path, 0)
    runs = sum(counts.values())
    as_rare = sum(count for name, count in counts.items() if name != path and count - 1 <= others)
    return (as_rare + others + 1) / (runs + 1)
