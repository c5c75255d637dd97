"""What whoever starts a deprecated template is told."""

from templates_app.models import Template
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.states import TemplateStatus


def deprecation_findings(template: Template) -> tuple[Finding, ...]:
    """Return the warning that the template is deprecated, with its note; nothing for one that is not."""
    if template.status != TemplateStatus.DEPRECATED:
        return ()
    message = f"the template '{template.public_id}' is deprecated"
    mend = template.deprecation_note or "Start another template, or ask its owner"
    return (Finding("TEMPLATE_DEPRECATED", message, suggestion=mend, severity=Severity.WARNING),)
