"""What is counted of agents' work, on the schedule and not by the work itself."""

import pytest

from executions_app import worker_identity
from executions_app.agent_statistics import count_load, count_work
from executions_app.claiming import claim_block
from executions_app.models import ConcurrencyLimit, WorkerLease
from executions_app.services.limits import save_limit
from executions_app.worker_identity import worker_id
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import make_agent, make_template, make_workspace, noop, start
from tests.failing_work import new_key, unsteady_block
from tests.farms import live_worker
from workflow_service.agents.catalog import find_agent, forget_agents
from workflow_service.agents.models import AgentStatistic

pytestmark = pytest.mark.usefixtures("db")


def test_how_full_an_agent_is() -> None:
    workspace = make_workspace()
    limit = ConcurrencyLimit(workspace=workspace, kind="agent", key="limited", max_concurrency=4)
    save_limit(limit)
    WorkerLease.objects.all().delete()
    me = worker_id()
    for agent_id in ("limited", "free"):
        execution = start(make_template([noop("call", agentId=agent_id)], workspace=workspace))
        claim_block(execution.pk, queued_blocks(execution)[0], me)
    count_load()
    forget_agents()
    limited, free = (find_agent(workspace.pk, agent_id) for agent_id in ("limited", "free"))
    assert limited is not None
    assert free is not None
    assert (limited.load, free.load) == (0.25, 1.0)
    count_load()
    assert AgentStatistic.objects.get(agent_id="limited").running == 1


def test_only_workers_that_serve_blocks_count_as_room_for_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    WorkerLease.objects.all().delete()
    for queues in (["control"], ["high", "default", "low"], ["low"], ["low"], []):
        monkeypatch.setattr(worker_identity, "_queues", tuple(queues))
        live_worker()
    execution = start(make_template([noop("call", agentId="roomy")]))
    claim_block(execution.pk, queued_blocks(execution)[0], worker_id())
    count_load()
    assert AgentStatistic.objects.get(agent_id="roomy").capacity == 3


def test_how_often_an_agent_s_work_succeeds() -> None:
    workspace = make_workspace()
    for agent_id in ("own", "twin"):
        make_agent(workspace, agent_id, capabilities=[{"name": "add"}])
    fields = {"agentId": "own", "retryPolicy": {"maxRetries": 0}}
    for fails in (0, 1):
        run_until_quiet(
            start(
                make_template(
                    [unsteady_block("one", new_key(), fields=fields, fails=fails)], workspace=workspace
                )
            )
        )
    count_work()
    forget_agents()
    own, twin = (find_agent(workspace.pk, agent_id) for agent_id in ("own", "twin"))
    assert own is not None
    assert twin is not None
    assert (own.success_rate, own.flaky, twin.success_rate) == (50.0, True, 100.0)
    assert own.average_ms is not None
    count_work()
    assert AgentStatistic.objects.get(agent_id="own").tries == 2
