"""How the runs of experiments ended: written once into their assignments, when the sweeper hands them out.

A run counts as it ended the first time: the statement passes over what has an outcome, so that a run that is handed
out again, after a restart or a crash, changes nothing.
"""

from collections.abc import Sequence

from django.db import connection
from django.db.models import F

from executions_app.digest import EndedRun
from workflow_service.experiments.models import Experiment

# A run pays for its sub-workflows.
COUNT = """
    WITH RECURSIVE ended AS (
        SELECT a.execution_id AS root, e.id, e.public_id, e.status, e.active_ms
        FROM experiments_assignment a JOIN executions_app_execution e ON e.id = a.execution_id
        WHERE a.execution_id = ANY(%s) AND a.outcome = ''
    ), tree AS (
        SELECT root, id, public_id FROM ended
        UNION ALL
        SELECT t.root, c.id, c.public_id FROM tree t JOIN executions_app_execution c ON c.parent_id = t.id
    ), paid AS (
        SELECT t.root, sum(u.cost_usd) AS usd FROM tree t
        JOIN ai_llmusage u ON u.execution_id = t.public_id AND u.execution_id <> '' GROUP BY t.root
    )
    UPDATE experiments_assignment a
    SET outcome = ended.status, active_ms = ended.active_ms, counted_at = clock_timestamp(),
        cost_usd = coalesce((SELECT usd FROM paid WHERE paid.root = ended.root), 0)
    FROM ended WHERE a.execution_id = ended.root AND a.outcome = '' RETURNING a.experiment_id
"""


def count_outcomes(runs: Sequence[EndedRun]) -> None:
    """Write down how the runs that belong to experiments ended; the experiments are evaluated soon."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [[run.id for run in runs]])
        concerned = {experiment_id for (experiment_id,) in cursor.fetchall()}
    if concerned:
        running = Experiment.objects.filter(pk__in=concerned, status=Experiment.Status.RUNNING)
        running.order_by("pk").update(news=F("news") + 1)
