"""The agents that a workspace has."""

import pytest

from tests.factories import make_agent, make_workspace
from workflow_service.agents import catalog
from workflow_service.agents.models import Agent, AgentStatistic
from workflow_service.agents.selection import AgentStatus
from workflow_service.engine.states import ToolType

pytestmark = pytest.mark.usefixtures("db")


def test_every_workspace_has_an_agent_for_each_kind_of_tool() -> None:
    for workspace in (make_workspace(), make_workspace()):
        found = catalog.list_agents(workspace.pk)
        assert {ToolType.API, ToolType.SCRIPT, ToolType.USE_CASE, ToolType.NOOP} <= {
            tool for agent in found for tool in agent.tool_types
        }
        assert {agent.status for agent in found} == {AgentStatus.HEALTHY}
    assert Agent.objects.filter(workspace=None, public_id="local-api").count() == 1


def test_use_cases_are_capabilities_with_their_schemas() -> None:
    found = catalog.choose_agent(catalog.list_agents(make_workspace().pk), capability="text.upper")
    assert found is None or found.agent_id == "local-use-case"
    agent = catalog.find_agent(make_workspace().pk, "local-use-case")
    assert agent is not None
    assert all(one.input_schema for one in agent.capabilities)


def test_a_workspace_sees_its_own_agents_and_no_others() -> None:
    mine, theirs = make_workspace(), make_workspace()
    make_agent(mine, "crm")
    assert catalog.find_agent(mine.pk, "crm") is not None
    assert catalog.find_agent(theirs.pk, "crm") is None


def test_its_own_agent_stands_before_a_built_in_one_of_the_same_id() -> None:
    workspace = make_workspace()
    make_agent(workspace, "local-api", configuration={"baseUrl": "https://crm.example"})
    found = catalog.find_agent(workspace.pk, "local-api")
    assert found is not None
    assert (found.built_in, found.configuration) == (False, {"baseUrl": "https://crm.example"})


def test_an_agent_that_another_process_registered_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace()
    assert catalog.find_agent(workspace.pk, "new") is None
    monkeypatch.setattr(catalog, "LOOK_AGAIN_S", 0.0)
    make_agent(workspace, "new", forget=False)
    assert catalog.find_agent(workspace.pk, "new") is not None


def test_what_was_counted_of_its_work_is_told() -> None:
    workspace = make_workspace()
    make_agent(workspace, "crm", enabled=False)
    AgentStatistic.objects.create(
        workspace=workspace, agent_id="crm", tries=8, succeeded=6, average_ms=12, running=3, capacity=4
    )
    catalog.forget_agents()
    found = catalog.find_agent(workspace.pk, "crm")
    assert found is not None
    assert (found.success_rate, found.load, found.flaky, found.status) == (
        75.0,
        0.75,
        True,
        AgentStatus.DISABLED,
    )
