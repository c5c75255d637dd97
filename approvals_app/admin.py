"""Admin pages of approvals: the inbox, and one question with its figures and the run so far.

Looking changes nothing. An answer is a POST with the CSRF token and goes through the one service that
decides.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from approvals_app import policy_admin  # noqa: F401 - registers its pages
from approvals_app.assignment import NOBODY, responder_of
from approvals_app.errors import ResponseInvalid
from approvals_app.models import Approval, ApprovalEvent
from approvals_app.response_form import answer_form, problems_of_answer, read_answer
from approvals_app.selectors import awaiting
from approvals_app.services.approvals import respond_to_approval
from executions_app.timeline import timeline_of
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin, WordsFilter, sentence
from workflow_service.badges import WAIT, badge
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ApprovalStatus
from workflow_service.schema_forms import FormUnreadable
from workflow_service.templatetags.workflow_service import moment

MAX_COMMENTS = 5_000


class InboxFilter(admin.SimpleListFilter):
    """What waits for the user, or for anybody."""

    title = "inbox"
    parameter_name = "inbox"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "Waits for me"), ("open", "Waits for anybody"), ("overdue", "Overdue")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "mine" if isinstance(request.user, User):
                return awaiting(request.user, queryset)
            case "open":
                return queryset.filter(status=ApprovalStatus.PENDING)
            case "overdue":
                return queryset.filter(status=ApprovalStatus.PENDING, due_at__lte=timezone.now())
        return queryset


@admin.register(Approval)
class ApprovalAdmin(PageAdmin):
    view_action = Action.APPROVAL_READ
    page_template = "admin/approval.html"
    change_list_template = "admin/approval_list.html"
    list_display = ("question", "state", "for_whom", "due", "answered")
    list_display_links = ("question",)
    list_filter = (InboxFilter, ("status", WordsFilter), ("type", WordsFilter), "level", "requested_at")
    list_select_related = ("execution__template", "responded_by", "workspace")
    list_per_page = 50
    search_fields = ("public_id", "block_id", "block_name", "message", "execution__public_id")
    search_help_text = "Block, message, approval or execution id"
    show_full_result_count = False
    actions = ("approve_selected", "reject_selected")

    @admin.display(description="Question")
    def question(self, approval: Approval) -> SafeString:
        return format_html(
            '{}<span class="wf-snippet">{}<br>{}</span>',
            approval.block_name or approval.block_id,
            Truncator(approval.message).chars(120),
            approval.execution.template.name,
        )

    @admin.display(description="Status", ordering="status")
    def state(self, approval: Approval) -> SafeString:
        kind = " · ".join(filter(None, (approval.type.capitalize(), approval.level)))
        return format_html('{}<span class="wf-snippet">{}</span>', approval_badge(approval), kind)

    @admin.display(description="For")
    def for_whom(self, approval: Approval) -> str:
        return ", ".join(approval.assignees) or "every approver"

    @admin.display(description="Due", ordering="due_at")
    def due(self, approval: Approval) -> SafeString:
        overdue = is_overdue(approval)
        return format_html(
            '<span class="{}">{}{}</span><span class="wf-snippet">asked {}</span>',
            "wf-overdue" if overdue else "",
            moment(approval.due_at) if approval.status == ApprovalStatus.PENDING else "—",
            ", overdue" if overdue else "",
            moment(approval.requested_at),
        )

    @admin.display(description="Answered", ordering="responded_at")
    def answered(self, approval: Approval) -> SafeString | str:
        if approval.responded_by is None:
            return "—"
        return format_html(
            '{}<span class="wf-snippet">{}</span>',
            approval.responded_by.get_username(),
            moment(approval.responded_at),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super().get_queryset(request).select_related("execution__created_by", *self.list_select_related)
        )

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """What waits comes first."""
        waits = Case(
            When(status=ApprovalStatus.PENDING, then=Value(0)), default=Value(1), output_field=IntegerField()
        )
        return [waits, "-id"]

    def has_respond_permission(self, request: HttpRequest) -> bool:
        """Whether the user may answer approvals anywhere; each answer is checked for itself."""
        return self._may(request, Action.APPROVAL_RESPOND, None)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        workspaces = self.workspaces(request, Action.APPROVAL_READ)
        events = ApprovalEvent.objects.filter(workspace_id__in=workspaces.values("pk"))
        newest = events.order_by("-id").values_list("id", flat=True).first()
        context = {"newest_event": newest or 0, **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        respond = path(
            "<int:approval_id>/respond/",
            self.admin_site.admin_view(self.respond_view),
            name="approvals_app_approval_respond",
        )
        return [respond, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: Approval) -> dict[str, Any]:
        return self._page(request, row, typed={}, problems={})

    def respond_view(self, request: HttpRequest, approval_id: int) -> HttpResponse:
        """Take an answer; POST only. What cannot be taken is shown with what was typed."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        approval = self.get_object(request, str(approval_id))
        if approval is None:
            raise Http404
        typed = request.POST.dict()
        try:
            decided = _answer(approval, request, typed)
        except FormUnreadable as error:
            return self._page_again(request, approval, typed, error.problems)
        except ResponseInvalid as error:
            problems = problems_of_answer(approval, error.problems)
            return self._page_again(request, approval, typed, problems)
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        else:
            done = "Approved" if decided.status == ApprovalStatus.APPROVED else "Rejected"
            messages.success(request, f"{done}: {decided.block_name or decided.block_id}.")
        return HttpResponseRedirect(reverse("admin:approvals_app_approval_change", args=[approval_id]))

    @admin.action(description="Approve selected", permissions=["respond"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        return self._answer_selected(request, queryset, approved=True)

    @admin.action(description="Reject selected", permissions=["respond"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        return self._answer_selected(request, queryset, approved=False)

    def _answer_selected(
        self, request: HttpRequest, queryset: QuerySet[Approval], *, approved: bool
    ) -> HttpResponse | None:
        """Ask once more, then answer each of the selected for itself and report on each."""
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "media": self.media,
                "title": "Approve the selected?" if approved else "Reject the selected?",
                "approvals": queryset.order_by("-id"),
                "approved": approved,
                "action": request.POST["action"],
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "admin/approvals_confirm.html", context)
        chosen = list(queryset.order_by("id"))
        chosen = list(queryset.order_by("id"))
        done = 0
        for approval in chosen:
            try:
                respond_to_approval(
                    approval_id=approval.public_id,
                    actor=_actor(request),
                    approved=approved,
                    comments=_comments(request),
                    source="admin",
                )
                done += 1
            except WorkflowError as error:
                name = approval.block_name or approval.block_id
                messages.error(request, f"{name} of {approval.execution.template.name}: {error.message}")
        gone = len(request.POST.getlist(ACTION_CHECKBOX_NAME)) - len(chosen)
        if gone > 0:
            messages.warning(request, f"{gone} of the selected no longer wait for you.")
        if done:
            messages.success(request, f"{'Approved' if approved else 'Rejected'} {done} of {len(chosen)}.")
        return None

    def _page_again(
        self, request: HttpRequest, approval: Approval, typed: dict[str, str], problems: Any
    ) -> HttpResponse:
        context = self._page(request, approval, typed=typed, problems=problems)
        return self.render_page(request, approval, context, status=422)

    def _page(
        self, request: HttpRequest, row: Approval, *, typed: dict[str, str], problems: dict[str, str]
    ) -> dict[str, Any]:
        user = request.user
        responder = responder_of(user, row.workspace) if isinstance(user, User) else NOBODY
        pending = row.status == ApprovalStatus.PENDING
        now = timezone.now()
        return {
            "title": row.block_name or row.block_id,
            "approval": row,
            "execution": row.execution,
            "pending": pending,
            "state": approval_badge(row),
            "overdue": is_overdue(row),
            "objection": responder.objection(row) if pending else None,
            "form": answer_form(row, typed, problems) if pending else None,
            "general_problem": problems.get("", ""),
            "comments": typed.get("comments", ""),
            "figures": figures_of(row.input),
            "lines": [(line, line.duration(now)) for line in timeline_of(row.execution).lines],
        }


def approval_badge(approval: Approval) -> SafeString:
    """Return an approval's status as a badge; one that waits stands out."""
    if approval.status == ApprovalStatus.PENDING:
        return badge("WAITING", tone=WAIT, words="Waiting")
    return badge(approval.status, words="Closed" if approval.status == ApprovalStatus.CANCELLED else None)


def is_overdue(approval: Approval) -> bool:
    """Say whether an approval still waits although its time is over."""
    due_at = approval.due_at
    return approval.status == ApprovalStatus.PENDING and due_at is not None and due_at <= timezone.now()


def figures_of(given: Any) -> Any:
    """Return what a block was given; where that is its ``input`` alone, what is in there."""
    if isinstance(given, dict) and given.keys() == {"input"}:
        return given["input"]
    return given


def _answer(approval: Approval, request: HttpRequest, typed: dict[str, str]) -> Approval:
    answer = read_answer(approval, typed)
    return respond_to_approval(
        approval_id=approval.public_id,
        actor=_actor(request),
        approved=answer.approved,
        response=answer.response,
        comments=_comments(request),
        source="admin",
    )


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user


def _comments(request: HttpRequest) -> str:
    return request.POST.get("comments", "").replace("\x00", "")[:MAX_COMMENTS]
