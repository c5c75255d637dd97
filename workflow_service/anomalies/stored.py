"""Histories as they are kept: read for the versions of a batch, and written back.

Whoever writes them holds ``LEARNING``, so that what two processes learn at once does not overwrite each other.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from django.db import connection
from django.utils import timezone

from workflow_service.anomalies.detection import WORTH_A_FACTOR, WORTH_MS, allowance
from workflow_service.anomalies.facts import THE_RUN
from workflow_service.anomalies.history import Histories, History, Window, durations, sizes
from workflow_service.anomalies.models import BlockHistory
from workflow_service.anomalies.robust import MIN_HISTORY

LEARNING = 7_461_003
COLUMNS = ("durations_ms", "sizes_bytes", "outcomes", "alarmed", "runs", "paths", "long_ms", "updated_at")
# A new version is judged by the newest other one of its template that has history enough.
KNOWN_BEFORE = """
    SELECT v.id, h.version_id FROM templates_app_templateversion v CROSS JOIN LATERAL (
        SELECT version_id FROM anomalies_blockhistory h
        WHERE h.template_id = v.template_id AND h.block_id = '' AND h.version_id <> v.id
            AND cardinality(h.durations_ms) >= %s
        ORDER BY h.version_id DESC LIMIT 1) h
    WHERE v.id = ANY(%s)
"""


def begin_learning() -> None:
    """Keep other processes from learning until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LEARNING])


def read_histories(version_ids: Collection[int]) -> dict[int, Histories]:
    """Return what is remembered of template versions, by version and block id."""
    found: dict[int, Histories] = {version_id: {} for version_id in version_ids}
    for row in BlockHistory.objects.filter(version__in=version_ids):
        found[row.version_id][row.block_id] = History(
            durations(row.durations_ms),
            sizes(row.sizes_bytes),
            row.outcomes,
            row.alarmed,
            row.runs,
            list(row.paths),
        )
    return found


def read_earlier(histories: Mapping[int, Histories]) -> dict[int, Histories]:
    """Return, for the versions of which too little is known yet, what is remembered of another of their template."""
    young = [version_id for version_id, known in histories.items() if not _is_known(known)]
    if not young:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(KNOWN_BEFORE, [MIN_HISTORY, young])
        before = dict(cursor.fetchall())
    found = read_histories(set(before.values()))
    # Paths are named by the edges of a version, and mean nothing in another.
    for known in found.values():
        if THE_RUN in known:
            known[THE_RUN].paths = []
    return {version_id: found[other] for version_id, other in before.items()}


def histories_of(version_id: int) -> Histories:
    """Return what a run of a version is judged by: its own histories, or those of another version of its template."""
    found = read_histories([version_id])
    return read_earlier(found).get(version_id, found[version_id])


def write_histories(learned: Iterable[tuple[int, int, Histories]]) -> None:
    """Write what was learned: (version, template, histories)."""
    now = timezone.now()
    rows: dict[int, list[BlockHistory]] = defaultdict(list)
    for version_id, template_id, histories in learned:
        looks = 2 * len(histories)
        for block_id, history in histories.items():
            rows[version_id].append(
                BlockHistory(
                    version_id=version_id,
                    template_id=template_id,
                    block_id=block_id,
                    durations_ms=history.durations.values,
                    sizes_bytes=history.sizes.values,
                    outcomes=history.outcomes,
                    alarmed=history.alarmed,
                    runs=history.runs,
                    paths=history.paths,
                    long_ms=_long_ms(history.durations, looks),
                    updated_at=now,
                )
            )
    BlockHistory.objects.bulk_create(
        [row for version_id in sorted(rows) for row in rows[version_id]],
        update_conflicts=True,
        unique_fields=("version", "block_id"),
        update_fields=COLUMNS,
    )


def _is_known(histories: Histories) -> bool:
    return THE_RUN in histories and len(histories[THE_RUN].durations.values) >= MIN_HISTORY


def _long_ms(window: Window, looks: int) -> int | None:
    """Return how long a block may run before that is unusual."""
    usual, expected = window.expected(0.5), window.expected(allowance(looks))
    if usual is None or expected is None:
        return None
    return round(max(expected[1], usual[1] + WORTH_MS, WORTH_A_FACTOR * usual[1]))
