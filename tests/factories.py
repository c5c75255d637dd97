"""Objects for tests, made through the services wherever there is one."""

from itertools import count
from typing import Any

from executions_app.models import BlockExecution, Execution, ExecutionEvent
from executions_app.services.executions import start_execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Membership, Role, User, Workspace
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


def make_template(blocks: list[Any], *, workspace: Workspace | None = None, **definition: Any) -> Template:
    """Make an active template of these blocks (document A's spelling), with its one version."""
    workspace = workspace or make_workspace()
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
