"""What is done to templates, in the audit trail."""

from typing import Any

from templates_app.models import Template
from workflow_service.accounts.models import User
from workflow_service.accounts.recording import record_by


def record_template(actor: User, action: str, template: Template, /, **detail: Any) -> None:
    """Record what was done to a template, with the version that is current now."""
    version = template.current_version
    told = {"name": template.name, "version": version.label if version else "", **detail}
    record_by(actor, action, template.workspace_id, "template", template.public_id, **told)
