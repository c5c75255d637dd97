"""The engine's side of the benchmark: real executions, started and watched through Postgres."""

import time

from executions_app.models import Execution
from executions_app.services.executions import start_execution
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import User, Workspace
from workflow_service.engine.states import ENDED_EXECUTION_STATUSES, ExecutionStatus

POLL_S = 0.002


def sequential_template(steps: int) -> Template:
    """Make a template of ``steps`` blocks in a row that do nothing."""
    workspace = Workspace.objects.create(name="Benchmark", slug="benchmark")
    owner = User.objects.create(username="benchmark")
    template = Template.objects.create(
        workspace=workspace, owner=owner, name=f"{steps} steps", status="active"
    )
    blocks = [
        {"blockId": f"step{n}", "toolType": "NOOP", "dependencies": [f"step{n - 1}"] if n else []}
        for n in range(steps)
    ]
    template.current_version = TemplateVersion.objects.create(
        template=template,
        ordinal=1,
        label="1.0.0",
        definition={"blocks": blocks},
        definition_sha256="",
        created_by=owner,
    )
    template.save()
    return template


def run_once(template: Template, timeout_s: float) -> float:
    """Run a template once; returns seconds from the start to the committed end."""
    begun = time.perf_counter()
    started = start_execution(workspace=template.workspace, actor=template.owner, template=template, input={})
    runs = Execution.objects.filter(pk=started.execution.pk).values_list("status", flat=True)
    while (status := runs.get()) not in ENDED_EXECUTION_STATUSES:
        if time.perf_counter() - begun > timeout_s:
            raise TimeoutError(f"{started.execution} is {status} after {timeout_s} s")
        time.sleep(POLL_S)
    if status != ExecutionStatus.COMPLETED:
        raise RuntimeError(f"{started.execution} is {status}")
    return time.perf_counter() - begun
