"""What is known of a run while it runs, as numbers beside what is usual: the same to learn from and to predict by.

Moments to learn from are shares of the usual duration, never of the run's own: how long a run will take is not known
while it runs. All are taken against the histories as they were before the run.
"""

import math
from collections.abc import Mapping

from workflow_service.anomalies.facts import THE_RUN, BlockFacts, RunFacts
from workflow_service.anomalies.history import LEAST_MS, Histories, History
from workflow_service.anomalies.robust import MIN_HISTORY

NAMES: Mapping[str, str] = {
    "elapsed": "how long it runs, beside what is usual",
    "slowest": "how slow its slowest block is",
    "failed": "blocks that failed so far",
    "recoveries": "recoveries so far",
    "ahead": "how often the blocks ahead fail",
    "ahead_lately": "how often the blocks ahead failed of late",
    "runs_lately": "how many of the last runs failed",
}
MOMENTS = (0.0, 0.25, 0.5, 1.0, 2.0)
LATELY = 10
FARTHEST = 6.0


def is_judgeable(histories: Histories) -> bool:
    """Tell whether enough runs were learned from to say what is usual."""
    whole = histories.get(THE_RUN)
    return whole is not None and len(whole.durations.values) >= MIN_HISTORY


def observe(run: RunFacts, took_ms: int, histories: Histories) -> list[list[float]]:
    """Return the features of a run that has ended at each of ``MOMENTS`` at which it still ran."""
    usual_ms = _usual_ms(histories[THE_RUN])
    moments = [share * usual_ms for share in MOMENTS]
    return [features_at(run, moment, histories) for moment in moments if moment < max(1, took_ms)]


def features_at(run: RunFacts, at_ms: float, histories: Histories) -> list[float]:
    """Return the features of a run ``at_ms`` after its start, in the order of ``NAMES``; ``is_judgeable`` must hold."""
    whole = histories[THE_RUN]
    ahead = [(block_id, history) for block_id, history in histories.items() if block_id != THE_RUN]
    ahead = [(block_id, history) for block_id, history in ahead if not _is_behind(run, block_id, at_ms)]
    failed = sum(block.failed and _has_finished(block, at_ms) for block in run.blocks.values())
    return [
        math.log((at_ms + LEAST_MS) / (_usual_ms(whole) + LEAST_MS)),
        max(
            (_slowness(block_id, block, at_ms, histories) for block_id, block in run.blocks.items()),
            default=0,
        ),
        math.log1p(failed),
        math.log1p(sum(moment <= at_ms for moment in run.recoveries_ms)),
        sum(_hazard(history, whole, None) for _, history in ahead),
        sum(_hazard(history, whole, LATELY) for _, history in ahead),
        whole.failure_rate(LATELY),
    ]


def _usual_ms(whole: History) -> float:
    spread = whole.durations.spread()
    return math.exp(spread.median) - LEAST_MS if spread else 0.0


def _has_finished(block: BlockFacts, at_ms: float) -> bool:
    return block.finished_ms is not None and block.finished_ms <= at_ms


def _is_behind(run: RunFacts, block_id: str, at_ms: float) -> bool:
    block = run.blocks.get(block_id)
    return block is not None and _has_finished(block, at_ms)


def _slowness(block_id: str, block: BlockFacts, at_ms: float, histories: Histories) -> float:
    """Return how many deviations a block takes, or took, more than usual; 0 where it is no slower."""
    history = histories.get(block_id)
    spread = history.durations.spread() if history else None
    if history is None or spread is None or block.started_ms is None or block.started_ms > at_ms:
        return 0.0
    end_ms = block.finished_ms if block.finished_ms is not None and block.finished_ms <= at_ms else at_ms
    far = spread.distance(history.durations.scaled(round(end_ms - block.started_ms)))
    return min(FARTHEST, max(0.0, far))


def _hazard(history: History, whole: History, last: int | None) -> float:
    """Return how probable it is that a block will run and fail."""
    runs = min(1.0, history.runs / max(1, whole.runs))
    return runs * -math.log(1 - min(0.99, history.failure_rate(last)))
