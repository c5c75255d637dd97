"""A workflow as document B shows it (sections 6.1 and 7.1), from the same rows as a template."""

from collections.abc import Iterable
from typing import Any

from executions_app.statistics import TemplateStatistics
from templates_app.api.serializers import issue_document
from templates_app.models import Template, TemplateVersion
from templates_app.services.designing import Design
from workflow_service.engine.documents import load_definition
from workflow_service.engine.findings import Finding
from workflow_service.engine.recommendations import Recommendation
from workflow_service.workflows_api.advice import Advice
from workflow_service.workflows_api.states import one_line_dsl, state_documents


def statistics_document(statistics: TemplateStatistics) -> dict[str, Any]:
    """Return how the runs of a workflow went; rates are of runs that completed or failed, null where none has."""
    return {
        "total_executions": statistics.total,
        "success_rate": statistics.success_rate,
        "avg_duration_ms": statistics.avg_duration_ms,
        "error_rate": statistics.error_rate,
    }


def workflow_entry(template: Template, statistics: TemplateStatistics) -> dict[str, Any]:
    """Return a workflow as lists show it."""
    version = template.current_version
    return {
        "id": template.pk,
        "template_id": template.public_id,
        "name": template.name,
        "description": template.description,
        "status": template.status,
        "version": version.ordinal if version else None,
        "version_label": version.label if version else None,
        "tags": template.tags,
        "owner_id": template.owner_id,
        "owner": template.owner.get_username(),
        "created_at": template.created_at,
        "updated_at": template.updated_at,
        "statistics": statistics_document(statistics),
        "optimization_score": template.optimization_score,
    }


def workflow_document(
    template: Template, version: TemplateVersion, statistics: TemplateStatistics, advice: Advice
) -> dict[str, Any]:
    """Return a whole workflow in one of its versions."""
    definition = load_definition(version.definition)
    return workflow_entry(template, statistics) | {
        "workspace_id": template.workspace.public_id,
        "version": version.ordinal,
        "version_label": version.label,
        "nl_description": template.nl_description,
        "dsl": one_line_dsl(definition),
        "parsed_definition": version.definition,
        "states": state_documents(definition),
        "input_schema": definition.input_schema,
        "optimization_score": advice.score,
        "ai_suggestions": list(advice.suggestions),
        "last_optimization_check": template.last_optimization_check,
    }


def findings_document(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return what there is to say of a definition; why a draft is one is among it. Advice is a suggestion's."""
    return [issue_document(one) for one in findings if not isinstance(one, Recommendation)]


def design_document(design: Design | None) -> dict[str, Any]:
    """Return who read the words of a workflow, and what was assumed; null where none were read."""
    return {
        "method": design.method.value if design else None,
        "notes": list(design.notes) if design else [],
    }
