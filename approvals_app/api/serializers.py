"""The shapes of approvals (document A section 5.3)."""

import json
from collections.abc import Mapping
from typing import Any

from django.urls import reverse
from rest_framework import serializers

from approvals_app.assignment import Responder
from approvals_app.models import Approval
from approvals_app.selectors import SORTS
from approvals_app.services.approvals import MAX_COMMENTS
from workflow_service.api_serializers import CamelSerializer, PageQuery
from workflow_service.engine.states import ApprovalStatus, BlockStatus, ExecutionStatus, HumanStepType

OVERDUE = "overdue"
# In a list these are left out where they are large.
LARGE_FIELDS = ("input", "proposed", "responseSchema", "response")
MAX_LISTED_CHARACTERS = 4_000


class TrueOrFalse(serializers.BooleanField):
    """A boolean that is one: no text or number is taken for an answer."""

    def to_internal_value(self, data: Any) -> bool:
        if data is True or data is False:
            return bool(data)
        raise serializers.ValidationError("Must be true or false.", code="INVALID")


class ApprovalsQuery(PageQuery):
    execution_id = serializers.CharField(required=False, max_length=40, help_text="Of this execution only.")
    block_id = serializers.CharField(required=False, max_length=100, help_text="Of this block only.")
    type = serializers.ChoiceField([step.value for step in HumanStepType], required=False)
    level = serializers.CharField(required=False, max_length=100, help_text="Of this approval level only.")
    search = serializers.CharField(
        required=False,
        max_length=200,
        help_text="Words of the message, or of the name of the block, its workflow or its starter.",
    )
    sort = serializers.ChoiceField(list(SORTS), default="newest")


class PendingQuery(ApprovalsQuery):
    status = serializers.ChoiceField(
        ["pending", OVERDUE], default="pending", help_text="overdue: those alone whose time is over."
    )


class AllQuery(ApprovalsQuery):
    status = serializers.ChoiceField(
        [OVERDUE, *(status.value for status in ApprovalStatus)],
        required=False,
        help_text="overdue: pending ones whose time is over.",
    )


class ApprovalResponse(CamelSerializer):
    approved = TrueOrFalse()
    response = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="What was asked for; must fit `responseSchema`. A rejection needs none.",
    )
    comments = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_COMMENTS)
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="The `version` that you looked at: given, an approval that has changed since is not answered (409).",
    )
    workspace_id = serializers.CharField(required=False, max_length=64)


class Delegation(CamelSerializer):
    to = serializers.CharField(
        max_length=155, help_text="User name or id of another who answers approvals here."
    )
    comments = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_COMMENTS)
    workspace_id = serializers.CharField(required=False, max_length=64)


class Comment(CamelSerializer):
    text = serializers.CharField(max_length=MAX_COMMENTS)
    workspace_id = serializers.CharField(required=False, max_length=64)


class ApprovalShape(CamelSerializer):
    approval_id = serializers.CharField(source="public_id")
    execution_id = serializers.CharField(source="execution.public_id")
    workspace_id = serializers.CharField(source="workspace.public_id")
    template_id = serializers.CharField(source="execution.template.public_id")
    template_name = serializers.CharField(source="execution.template.name")
    started_by = serializers.CharField(
        source="execution.created_by.username", help_text="Who started the execution."
    )
    block_id = serializers.CharField()
    block_name = serializers.CharField()
    block_execution_id = serializers.SerializerMethodField("get_block_execution_id")
    type = serializers.ChoiceField([step.value for step in HumanStepType])
    level = serializers.CharField()
    status = serializers.ChoiceField([status.value for status in ApprovalStatus])
    message = serializers.CharField(help_text="What is asked, its figures filled in.")
    assignees = serializers.ListField(
        child=serializers.CharField(), help_text="Who is asked; empty: every approver."
    )
    quorum = serializers.IntegerField(help_text="How many people must approve the same answer.")
    approvals = serializers.SerializerMethodField(
        "get_approvals", help_text="How many have approved so far, where it needs several."
    )
    version = serializers.IntegerField(help_text="Rises with each vote, delegation and escalation.")
    escalations = serializers.IntegerField(
        source="escalation_step", help_text="How many levels of its escalation chain have been asked too."
    )
    on_timeout = serializers.ChoiceField(Approval.OnTimeout.values)
    allow_delegation = serializers.BooleanField()
    overdue = serializers.SerializerMethodField(
        "get_overdue", help_text="Whether it waits although its time is over."
    )
    four_eyes = serializers.BooleanField(help_text="The starter of the execution may not answer.")
    can_respond = serializers.SerializerMethodField(
        "get_can_respond", help_text="Whether you may answer now."
    )
    input = serializers.JSONField(allow_null=True, help_text="The block's resolved configuration.")
    proposed = serializers.JSONField(allow_null=True, help_text="The output under review.")
    response_schema = serializers.JSONField(allow_null=True)
    requested_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(allow_null=True)
    responded_at = serializers.DateTimeField(allow_null=True)
    responded_by = serializers.CharField(source="responded_by.username", allow_null=True, default=None)
    response = serializers.JSONField(allow_null=True)
    comments = serializers.CharField()

    def get_block_execution_id(self, approval: Any) -> str:
        return f"block_exec_{approval.block_execution_id:03d}"

    def get_approvals(self, approval: Any) -> int:
        if approval.quorum == 1:
            return int(approval.status == ApprovalStatus.APPROVED)
        return sum(vote.approved for vote in approval.votes.all())

    def get_overdue(self, approval: Any) -> bool:
        pending = approval.status == ApprovalStatus.PENDING and approval.due_at is not None
        return pending and approval.due_at <= self.context["now"]

    def get_can_respond(self, approval: Any) -> bool:
        """Answer for the user of the request, as ``context["responder"]`` knows them."""
        responder: Responder = self.context["responder"]
        return responder.awaits(approval)


class ApprovalEntry(ApprovalShape):
    """An approval in a list: what is large of it is left out, so that a page stays small."""

    left_out = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text=f"Which of {', '.join(LARGE_FIELDS)} are null here because they are larger than "
        f"{MAX_LISTED_CHARACTERS:,} characters of JSON; `url` has them.",
    )
    url = serializers.SerializerMethodField("get_url", help_text="Where the whole approval is.")

    def get_url(self, approval: Any) -> str:
        return reverse("approval", kwargs={"approval_id": approval.public_id})

    def to_representation(self, instance: Any) -> Any:
        instance.left_out = []
        document = super().to_representation(instance)
        large = [
            name
            for name in LARGE_FIELDS
            if document[name] is not None
            and len(json.dumps(document[name], ensure_ascii=False)) > MAX_LISTED_CHARACTERS
        ]
        return document | dict.fromkeys(large) | {"leftOut": large}


class PendingApprovals(CamelSerializer):
    approvals = ApprovalEntry(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    has_more = serializers.BooleanField()


class RunBlockShape(CamelSerializer):
    block_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField([status.value for status in BlockStatus])
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(source="finished_at", allow_null=True)
    output = serializers.JSONField(
        source="output.value", allow_null=True, help_text="Null while there is none, and where it is large."
    )


class RunShape(CamelSerializer):
    status = serializers.ChoiceField([status.value for status in ExecutionStatus])
    started_at = serializers.DateTimeField()
    total_blocks = serializers.IntegerField()
    completed_blocks = serializers.IntegerField()
    blocks = RunBlockShape(many=True)


class ApprovalDetail(ApprovalShape):
    run = RunShape(help_text="The execution so far.")


class ResponseAccepted(CamelSerializer):
    success = serializers.BooleanField(
        default=True, help_text="What you sent is decided, or counted while others must answer too (PENDING)."
    )
    approval_id = serializers.CharField(source="public_id")
    execution_id = serializers.CharField(source="execution.public_id")
    status = serializers.ChoiceField([status.value for status in ApprovalStatus])
    version = serializers.IntegerField()
    responded_at = serializers.DateTimeField(allow_null=True)
    responded_by = serializers.CharField(source="responded_by.username", allow_null=True, default=None)


class ApprovalHistoryEntry(CamelSerializer):
    what = serializers.CharField(help_text="An event of `/ws/approvals`, as `approval_voted`.")
    who = serializers.CharField(help_text="User name; empty where the service did it.")
    at = serializers.DateTimeField()
    door = serializers.CharField(source="source", help_text="api, admin, email or timeout.")
    comments = serializers.CharField()
    details = serializers.JSONField()


class ApprovalHistory(CamelSerializer):
    approval_id = serializers.CharField()
    history = ApprovalHistoryEntry(many=True, help_text="Oldest first.")


class CommentShape(CamelSerializer):
    approval_id = serializers.CharField(source="approval.public_id")
    user = serializers.CharField(source="user.username")
    text = serializers.CharField()
    created_at = serializers.DateTimeField()


class DelegationMade(CamelSerializer):
    approval_id = serializers.CharField(source="public_id")
    version = serializers.IntegerField()
    delegates = serializers.ListField(child=serializers.CharField(), help_text="Those it was handed to.")


def page_of(approvals: list[Any], total: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of approvals with document A's totals."""
    limit, offset = query["limit"], query["offset"]
    return {
        "approvals": approvals,
        "total": total,
        "limit": limit,
        "offset": offset,
        "has_more": offset + len(approvals) < total,
    }
