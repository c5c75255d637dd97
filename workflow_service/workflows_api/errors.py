"""What can be wrong with a request at document B's door, beside what the services below say."""

from templates_app.errors import TemplateNotFound
from workflow_service.engine.errors import WorkflowError


class WorkflowNotFound(TemplateNotFound):
    """There is no such workflow in the caller's workspace."""

    code = "WORKFLOW_NOT_FOUND"


class WorkflowBodyInvalid(WorkflowError):
    """The fields of a workflow are right one by one, and do not fit together; ``problems`` says where."""

    code = "INVALID_REQUEST"
