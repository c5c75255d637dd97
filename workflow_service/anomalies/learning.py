"""The digester: every run that ends is judged by the runs before it, then taken into the histories, once.

A run that was restarted is judged anew, and what was found before is forgotten; nothing is learned from it a second
time: of its first end the histories hold what was true then. A batch costs a fixed number of statements.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from django.db import connection

from executions_app.digest import EndedRun
from executions_app.models import Execution
from workflow_service.anomalies.detection import judge
from workflow_service.anomalies.features import is_judgeable, observe
from workflow_service.anomalies.fitting import drop_what_failed
from workflow_service.anomalies.history import Histories, learn
from workflow_service.anomalies.models import Anomaly, Observation
from workflow_service.anomalies.reading import ReadRun, read_runs
from workflow_service.anomalies.stored import begin_learning, read_earlier, read_histories, write_histories
from workflow_service.anomalies.telling import Found, record

COUNT_OBSERVATIONS = """
    INSERT INTO anomalies_failurepredictor AS p (template_id, workspace_id, unfitted, useful, fitted_on, judged_on)
    SELECT t.id, t.workspace_id, n.number, false, 0, 0 FROM unnest(%s::bigint[], %s::int[]) AS n(template_id, number)
    JOIN templates_app_template t ON t.id = n.template_id
    ON CONFLICT (template_id) DO UPDATE SET unfitted = p.unfitted + EXCLUDED.unfitted
"""


def learn_from_ended(runs: Sequence[EndedRun]) -> None:
    """Judge runs that have ended, and learn from those that are new; the transaction holds their locks."""
    begin_learning()
    again = {run.id for run in runs if run.before > 0}
    if again:
        forget(again)
    read = read_runs([run.id for run in runs])
    known = read_histories({run.version_id for run in read})
    earlier = read_earlier(known)
    found, observations = [], []
    for run in read:
        histories = known[run.version_id]
        # With history enough a version is judged by its own runs, from then on.
        judged_by = histories if is_judgeable(histories) else earlier.get(run.version_id, histories)
        found.append(Found(run.id, judge(run.facts, judged_by), tell=run.is_fresh))
        if run.id not in again:
            observations += _observation(run, judged_by)
            learn(histories, run.facts)
    write_histories(_learned(read, known))
    _keep_observations(observations)
    record(found)


def forget(execution_ids: Collection[int]) -> None:
    """Drop what was found in runs, and their mark; the transaction holds their locks."""
    Anomaly.objects.filter(execution__in=execution_ids).delete()
    Execution.objects.filter(pk__in=execution_ids, anomaly_detected=True).update(anomaly_detected=False)


def _learned(read: Sequence[ReadRun], known: dict[int, Histories]) -> list[tuple[int, int, Histories]]:
    templates = {run.version_id: run.template_id for run in read}
    return [(version_id, templates[version_id], histories) for version_id, histories in known.items()]


def _observation(run: ReadRun, histories: Histories) -> list[Observation]:
    if run.facts.failed is None or not is_judgeable(histories):
        return []
    features = observe(run.facts, run.took_ms, histories)
    rounded = [[round(value, 4) for value in moment] for moment in features]
    return [
        Observation(
            execution_id=run.id, template_id=run.template_id, failed=run.facts.failed, features=rounded
        )
    ]


def _keep_observations(observations: Sequence[Observation]) -> None:
    if not observations:
        return
    Observation.objects.bulk_create(observations, ignore_conflicts=True)
    numbers = Counter(one.template_id for one in observations)
    with connection.cursor() as cursor:
        cursor.execute(COUNT_OBSERVATIONS, [list(numbers), list(numbers.values())])
    drop_what_failed(numbers)
