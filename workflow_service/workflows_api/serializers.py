"""The shapes of workflows at document B's door, section 7.1."""

from typing import Any

from rest_framework import serializers

from templates_app.models import Template
from templates_app.services.designing import Method
from workflow_service.api_serializers import (
    JsonObjectField,
    NumberedPageQuery,
    SnakeQuery,
)
from workflow_service.engine.findings import Severity
from workflow_service.engine.states import TemplateStatus
from workflow_service.workflows_api.states import StateType

STATUSES = [status.value for status in TemplateStatus]


class WorkflowListQuery(NumberedPageQuery):
    status = serializers.ChoiceField(
        choices=STATUSES, required=False, help_text="Not given: all but archived ones."
    )
    owner_id = serializers.IntegerField(required=False, min_value=1)
    tags = serializers.CharField(
        required=False, max_length=1_000, help_text="Comma list; workflows with all of them."
    )
    search = serializers.CharField(
        required=False, max_length=200, help_text="Words or parts of words in name, tags and descriptions."
    )


class WorkflowVersionQuery(SnakeQuery):
    version = serializers.CharField(
        required=False,
        max_length=32,
        help_text="A number (3) or a label (1.2.0); not given: the current version.",
    )


class WorkflowStatistics(serializers.Serializer[Any]):
    """Of all its runs; rates are percentages of those that completed or failed, null where none has."""

    total_executions = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)
    avg_duration_ms = serializers.IntegerField(allow_null=True)
    error_rate = serializers.FloatField(allow_null=True)


class WorkflowEntry(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    template_id = serializers.CharField(help_text="The same workflow, as the templates API names it.")
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=STATUSES)
    version = serializers.IntegerField(allow_null=True)
    version_label = serializers.CharField(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    owner_id = serializers.IntegerField()
    owner = serializers.CharField(help_text="The owner's user name.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    statistics = WorkflowStatistics()
    optimization_score = serializers.IntegerField(allow_null=True, help_text="0 to 100.")


class WorkflowList(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    workflows = WorkflowEntry(many=True)


class StateShape(serializers.Serializer[Any]):
    """One state; every field of it is in `parsed_definition`."""

    name = serializers.CharField()
    type = serializers.ChoiceField(choices=[one.value for one in StateType])
    description = serializers.CharField(allow_blank=True)
    callback_type = serializers.CharField(
        allow_null=True, help_text="Such as python_function, http_request, llm_call; null: no work yet."
    )
    callback_config = JsonObjectField()
    timeout_seconds = serializers.FloatField()
    retry_policy = JsonObjectField()


class Suggestion(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="performance, reliability, cost or ux.")
    message = serializers.CharField()


class WorkflowShape(WorkflowEntry):
    """A whole workflow: one version of it."""

    workspace_id = serializers.CharField()
    nl_description = serializers.CharField(allow_blank=True)
    dsl = serializers.CharField()
    parsed_definition = JsonObjectField(help_text="The whole definition; can be written back as it is.")
    states = StateShape(many=True)
    input_schema = JsonObjectField(allow_null=True)
    ai_suggestions = Suggestion(many=True)
    last_optimization_check = serializers.DateTimeField(allow_null=True)


class WorkflowIssue(serializers.Serializer[Any]):
    """Something about a definition: an ERROR keeps it from being active."""

    type = serializers.CharField(help_text="A stable code, such as NO_WORK.")
    severity = serializers.ChoiceField(choices=[severity.value for severity in Severity])
    block_id = serializers.CharField(allow_null=True)
    message = serializers.CharField()
    suggestion = serializers.CharField(allow_blank=True)
    pointer = serializers.CharField(allow_blank=True, help_text="JSON pointer into the definition.")
    line = serializers.IntegerField(allow_null=True)
    column = serializers.IntegerField(allow_null=True)
    blocks = serializers.ListField(child=serializers.CharField())


class SavedWorkflowShape(WorkflowShape):
    """A workflow that was written, and what there is to say of it."""

    findings = WorkflowIssue(many=True)
    method = serializers.ChoiceField(
        choices=[one.value for one in Method],
        allow_null=True,
        help_text="Who read `nl_description`; null: nobody.",
    )
    notes = serializers.ListField(child=serializers.CharField(), help_text="What was assumed.")


class ArchivedShape(serializers.Serializer[Any]):
    message = serializers.CharField()
    workflow_id = serializers.IntegerField()


def archived_document(template: Template) -> dict[str, Any]:
    """Return document B's answer to a delete."""
    return {"message": "Workflow archived successfully", "workflow_id": template.pk}
