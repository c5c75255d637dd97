"""What the views of workflows ask of a request: a workflow is named by its number, or by its template's id."""

from rest_framework.request import Request

from templates_app.errors import TemplateNotFound
from templates_app.models import Template
from templates_app.selectors import get_template
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action
from workflow_service.workflows_api.errors import WorkflowNotFound

_MAX_DIGITS = 18


def readable_workflow(request: Request, workflow_id: str) -> Template:
    """Return the template a request is about, if its user may read it there; raises ``WorkflowNotFound``."""
    number = workflow_id.isascii() and workflow_id.isdecimal() and len(workflow_id) <= _MAX_DIGITS
    rows = Template.objects.filter(**({"pk": int(workflow_id)} if number else {"public_id": workflow_id}))
    workspace = workspace_of(request, holding=rows)
    public_id = rows.filter(workspace=workspace).values_list("public_id", flat=True).first()
    try:
        template = get_template(workspace, public_id or workflow_id)
    except TemplateNotFound:
        raise WorkflowNotFound(f"there is no workflow '{workflow_id[:64]}' in this workspace") from None
    require_on(template, current_user(request), Action.TEMPLATE_READ)
    return template
