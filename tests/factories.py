"""Objects for tests, made through the services wherever there is one."""

from itertools import count
from typing import Any

from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.services.executions import start_execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Membership, Role, User, Workspace
from workflow_service.agents.built_in import BUILT_IN
from workflow_service.agents.catalog import forget_agents
from workflow_service.agents.models import Agent
from workflow_service.engine.documents import dump_definition, load_definition
from workflow_service.engine.states import TemplateStatus

_numbers = count(1)


def make_workspace(**overrides: Any) -> Workspace:
    number = next(_numbers)
    return Workspace.objects.create(
        **{"name": f"Workspace {number}", "slug": f"workspace-{number}", **overrides}
    )


def make_user(workspace: Workspace | None = None, *roles: Role, **overrides: Any) -> User:
    """Make a user; with a workspace also its memberships there, developer where no role is given."""
    username = overrides.pop("username", f"user{next(_numbers)}")
    user = User.objects.create_user(username=username, password="a-long-password", **overrides)
    if workspace is not None:
        for role in roles or (Role.DEVELOPER,):
            Membership.objects.create(workspace=workspace, user=user, role=role)
    return user


def make_agent(workspace: Workspace | None, agent_id: str, *, forget: bool = True, **fields: Any) -> Agent:
    """Register an agent that does any work in the workers, unless ``fields`` say otherwise."""
    known = {"name": agent_id, "tool_types": [tool.value for tool in BUILT_IN], "status": "HEALTHY"}
    agent = Agent.objects.create(workspace=workspace, public_id=agent_id, **{**known, **fields})
    if forget:
        forget_agents()
    return agent


def register_named_agents(workspace: Workspace, document: Any) -> None:
    """Register every agent that a template's document names and the workspace does not have."""
    named = _named_agents(document)
    known = Agent.objects.filter(workspace=workspace, public_id__in=named).values_list("public_id", flat=True)
    for agent_id in sorted(named - set(known if named else ())):
        make_agent(workspace, agent_id)


def _named_agents(document: Any) -> set[str]:
    if isinstance(document, list):
        return {name for member in document for name in _named_agents(member)}
    if not isinstance(document, dict):
        return set()
    found = {
        name for key, member in document.items() if key != "configuration" for name in _named_agents(member)
    }
    if isinstance(document.get("agentId"), str):
        found.add(document["agentId"])
    if isinstance(document.get("recovery"), dict):
        found |= {name for name in document["recovery"].get("agents", ()) if isinstance(name, str)}
    return found


def make_template(blocks: list[Any], *, workspace: Workspace | None = None, **definition: Any) -> Template:
    """Make an active template of these blocks (document A's spelling), with its one version and the agents it names."""
    workspace = workspace or make_workspace()
    register_named_agents(workspace, blocks)
    owner = make_user(workspace)
    document = dump_definition(load_definition({"blocks": blocks, **definition}))
    template = Template.objects.create(
        workspace=workspace, name=f"Template {next(_numbers)}", owner=owner, status=TemplateStatus.ACTIVE
    )
    template.current_version = TemplateVersion.objects.create(
        template=template,
        ordinal=1,
        label="1.0.0",
        definition=document,
        definition_sha256="",
        created_by=owner,
    )
    template.save()
    return template


def start(template: Template, given: dict[str, Any] | None = None, **options: Any) -> Execution:
    """Start an execution of a template as its owner."""
    started = start_execution(
        workspace=template.workspace,
        actor=template.owner,
        template=template,
        input=given or {},
        options=options,
    )
    return started.execution


def statuses(execution: Execution) -> dict[str, str]:
    """Return the status of every block of an execution that has a row, by block id."""
    return dict(BlockExecution.objects.filter(execution=execution).values_list("block_id", "status"))


def event_types(execution: Execution) -> list[str]:
    """Return the types of an execution's events, in order."""
    rows = ExecutionEvent.objects.filter(execution_id=execution.pk).order_by("seq")
    return list(rows.values_list("type", flat=True))


def error_of(execution: Execution) -> dict[str, Any]:
    """Return the error of an execution that failed."""
    assert isinstance(execution.error, dict), f"{execution} has no error"
    return execution.error


def noop(block_id: str, output: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a block that gives ``output`` and does nothing else."""
    configuration = {} if output is None else {"output": output}
    return {"blockId": block_id, "toolType": "NOOP", "configuration": configuration, **fields}


def branch(condition: str | None, *targets: str) -> dict[str, Any]:
    """Return a way out of a block; without a condition the default one."""
    return {"nextBlocks": list(targets)} | ({} if condition is None else {"condition": condition})
