"""What is known of agents' work, counted on a schedule: how full they are, how often they succeed, how long it takes.

The hot path writes nothing for it. Success is counted over the newest runs, those that ended within a day: a try is a
block's end, each of its retries, and each time that it was given to another agent. An agent that was not at work in
them has no figures.
"""

from django.db import connection

from executions_app.dispatch import QUEUES
from workflow_service.agents.upkeep import is_due

LOAD_EVERY_S = 5
WORK_EVERY_S = 60
RUNS_COUNTED = 5_000

# Without a limit an agent is as full as the share of all worker processes for blocks that are at work on it.
COUNT_LOAD = """
    WITH at_work AS (
        SELECT e.workspace_id, b.agent_id, count(*) AS running FROM executions_app_blockexecution b
        JOIN executions_app_execution e ON e.id = b.execution_id
        WHERE b.status = 'RUNNING' AND b.worker_id IS NOT NULL AND b.agent_id <> '' GROUP BY 1, 2
    ), limits AS (
        SELECT workspace_id, key AS agent_id, max_concurrency FROM executions_app_concurrencylimit
        WHERE kind = 'agent'
    ), workers AS (
        SELECT greatest(1, count(*)) AS number FROM executions_app_workerlease
        WHERE expires_at > clock_timestamp() AND queues && %s::text[]
    ), found AS (
        SELECT workspace_id, agent_id, coalesce(running, 0) AS running, max_concurrency
        FROM at_work FULL JOIN limits USING (workspace_id, agent_id)
    ), idle AS (
        UPDATE agents_agentstatistic s SET running = 0 WHERE running > 0
            AND NOT EXISTS (SELECT FROM found f WHERE f.workspace_id = s.workspace_id AND f.agent_id = s.agent_id)
    )
    INSERT INTO agents_agentstatistic AS s (workspace_id, agent_id, running, capacity, counted_at)
    SELECT workspace_id, agent_id, running, coalesce(max_concurrency, workers.number), clock_timestamp()
    FROM found, workers
    ON CONFLICT (workspace_id, agent_id) DO UPDATE SET running = EXCLUDED.running, capacity = EXCLUDED.capacity,
        counted_at = EXCLUDED.counted_at
        WHERE (s.running, s.capacity) IS DISTINCT FROM (EXCLUDED.running, EXCLUDED.capacity)
"""
COUNT_WORK = """
    WITH runs AS (
        SELECT id, workspace_id FROM (
            SELECT id, workspace_id, completed_at FROM executions_app_execution ORDER BY id DESC LIMIT %s) newest
        WHERE completed_at > clock_timestamp() - interval '1 day'
    ), blocks AS (
        SELECT r.workspace_id, b.agent_id, b.status, b.retries, b.stand_in,
            -- How long people look at what an agent made is not the agent's time.
            CASE WHEN b.waits_for = 'person' AND b.wait_key = 'review' THEN NULL
                ELSE extract(epoch FROM b.finished_at - b.started_at) * 1000 END AS ms
        FROM runs r JOIN executions_app_blockexecution b ON b.execution_id = r.id
        WHERE b.agent_id <> '' AND b.status IN ('COMPLETED', 'FAILED') AND b.started_at IS NOT NULL
    ), handed_on AS (
        SELECT r.workspace_id, coalesce(
                nullif(lag(a.agent_id) OVER w, ''),
                (SELECT e.data->>'agentId' FROM executions_app_executionevent e
                 WHERE e.execution_id = r.id AND e.block_execution_id = a.block_execution_id
                    AND e.type = 'block_started' ORDER BY e.seq LIMIT 1)) AS agent_id
        FROM runs r JOIN executions_app_recoveryaction a ON a.execution_id = r.id
        WHERE a.strategy = 'reassign' AND a.suggested_by <> 'person'
        WINDOW w AS (PARTITION BY a.block_execution_id ORDER BY a.id)
    ), tries AS (
        SELECT workspace_id, agent_id, 1 + retries AS tries,
            (status = 'COMPLETED' AND stand_in <> 'default')::int AS succeeded,
            CASE WHEN status = 'COMPLETED' THEN ms END AS ms
        FROM blocks
        UNION ALL SELECT workspace_id, agent_id, 1, 0, NULL FROM handed_on WHERE agent_id <> ''
    ), counted AS (
        SELECT workspace_id, agent_id, sum(tries) AS tries, sum(succeeded) AS succeeded, avg(ms) AS average_ms
        FROM tries GROUP BY 1, 2
    ), idle AS (
        UPDATE agents_agentstatistic s SET tries = 0, succeeded = 0, average_ms = NULL WHERE tries > 0
            AND NOT EXISTS (SELECT FROM counted c WHERE c.workspace_id = s.workspace_id AND c.agent_id = s.agent_id)
    )
    INSERT INTO agents_agentstatistic AS s (workspace_id, agent_id, tries, succeeded, average_ms, counted_at)
    SELECT workspace_id, agent_id, tries, succeeded, average_ms, clock_timestamp() FROM counted
    ON CONFLICT (workspace_id, agent_id) DO UPDATE SET tries = EXCLUDED.tries, succeeded = EXCLUDED.succeeded,
        average_ms = EXCLUDED.average_ms, counted_at = EXCLUDED.counted_at
"""


def keep_statistics() -> None:
    """Count what is due to be counted."""
    if is_due("load_counted_at", LOAD_EVERY_S):
        count_load()
    if is_due("work_counted_at", WORK_EVERY_S):
        count_work()


def count_load() -> None:
    """Count what is at work on each agent now."""
    _run(COUNT_LOAD, list(QUEUES))


def count_work() -> None:
    """Count how the work of each agent went of late."""
    _run(COUNT_WORK, RUNS_COUNTED)


def _run(statement: str, *parameters: int | list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
