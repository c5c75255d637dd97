"""Admin pages of approvals: the inbox, and one question with its figures and the run so far.

Looking changes nothing. An answer is a POST with the CSRF token and goes through the one service that
decides.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from approvals_app import policy_admin  # noqa: F401 - registers its pages
from approvals_app.admin_bulk import MAX_SELECTED, answer_each, candidates_of
from approvals_app.approval_page import PREVIEW, answer, approval_badge, page_of
from approvals_app.assignment import Responder, responders_of
from approvals_app.errors import OutOfDate, ResponseInvalid
from approvals_app.inbox import LABELS, Inbox, Tab, asked_of, order_of
from approvals_app.models import Approval
from approvals_app.response_form import DECISION, problems_of_answer
from approvals_app.selectors import visible_to
from approvals_app.services.delegation import comment_on_approval, delegate_approval
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin, ValuesFilter, WordsFilter, sentence
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ApprovalStatus
from workflow_service.schema_forms import FormUnreadable
from workflow_service.templatetags.workflow_service import ago
from workflow_service.templatetags.workflow_service import due as due_words

MAX_COMMENTS = 5_000
MAX_SHOWN = 100


class TabFilter(admin.SimpleListFilter):
    """The tab of the inbox that is open: what waits for the user, where the user may answer at all."""

    title = "inbox"
    parameter_name = "inbox"
    # The tabs stand above the list, not beside it.
    template = "admin/no_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(tab), label) for tab, label in LABELS.items()]

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        # The first of the filters: what stands before it is what the inbox looks at too.
        self.found: QuerySet[Any] = model_admin.inbox(request).holding(model_admin.tab(request))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.found


@admin.register(Approval)
class ApprovalAdmin(PageAdmin):
    view_action = Action.APPROVAL_READ
    page_template = "admin/approval.html"
    change_list_template = "admin/approval_list.html"
    list_display_links = ("question",)
    list_filter = (
        TabFilter,
        ("type", WordsFilter),
        ("status", WordsFilter),
        ("level", ValuesFilter),
        "requested_at",
    )
    list_select_related = ("execution__template", "execution__created_by", "responded_by", "workspace")
    list_per_page = 50
    list_max_show_all = 0
    search_fields = ("public_id", "block_id", "block_name", "message", "execution__public_id")
    search_help_text = "Words of the question, a block, or the id of an approval or a run"
    show_full_result_count = False
    actions = ("approve_selected", "reject_selected")

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Where only what waits is listed there is no word about answers."""
        known = ("question", "due", "for_whom")
        return (*known, "state") if self.tab(request) is Tab.ALL else known

    @admin.display(description="What is asked")
    def question(self, approval: Approval) -> SafeString:
        name = approval.block_name or approval.block_id
        return format_html(
            '<span class="wf-asked">{}</span><span class="wf-snippet">{}{} · run by {}</span>',
            Truncator(approval.message).chars(160) or f"May “{name}” run?",
            f"{name} · " if approval.message else "",
            approval.execution.template.name,
            approval.execution.created_by.get_username(),
        )

    @admin.display(description="Status", ordering="status")
    def state(self, approval: Approval) -> SafeString:
        if approval.responded_by is None:
            return approval_badge(approval)
        return format_html(
            '{}<span class="wf-snippet">{} {}</span>',
            approval_badge(approval),
            approval.responded_by.get_username(),
            ago(approval.responded_at),
        )

    @admin.display(description="Asked of")
    def for_whom(self, approval: Approval) -> SafeString:
        kind = approval.type.capitalize()
        return format_html(
            '{}<span class="wf-snippet">{}</span>',
            asked_of(approval),
            f"{kind} · {approval.level}" if approval.level else kind,
        )

    @admin.display(description="Due", ordering="due_at")
    def due(self, approval: Approval) -> SafeString:
        waits = approval.status == ApprovalStatus.PENDING and approval.due_at is not None
        return format_html(
            '{}<span class="wf-snippet">asked {}</span>',
            due_words(approval.due_at) if waits and approval.due_at else "—",
            ago(approval.requested_at),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Narrow to what the user may see; a superuser looks into every workspace."""
        found = super().get_queryset(request).select_related(*self.list_select_related)
        user = _user(request)
        return found if user.is_superuser else visible_to(user, found, self.responders(request))

    def responders(self, request: HttpRequest) -> Mapping[int, Responder]:
        """Return the user as each workspace's approvals see them; read once for a request."""
        found: Mapping[int, Responder] | None = getattr(request, "_responders", None)
        if found is None:
            found = responders_of(_user(request))
            request._responders = found  # type: ignore[attr-defined]
        return found

    def inbox(self, request: HttpRequest) -> Inbox:
        """Return the user's inbox; its lists leave out what may be large."""
        found = self.get_queryset(request).defer("input", "proposed", "response_schema", "response")
        return Inbox(_user(request), self.responders(request), found)

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """What is most urgent comes first."""
        return order_of(self.tab(request))

    def has_respond_permission(self, request: HttpRequest) -> bool:
        """Whether the user may answer approvals anywhere; each answer is checked for itself."""
        return self._may(request, Action.APPROVAL_RESPOND, None)

    def tab(self, request: HttpRequest) -> Tab:
        """Return the tab that is open: the one named, else what waits for the user, if they may answer at all."""
        named = request.GET.get("inbox", "")
        if named in set(Tab):
            return Tab(named)
        return Tab.MINE if self.has_respond_permission(request) else Tab.ALL

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        tab = self.tab(request)
        context = {
            "title": "Inbox",
            "tab": tab,
            "tabs": self.inbox(request).tabs(tab),
            "newest_event": self.inbox(request).newest_event(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("<int:approval_id>/respond/", self.respond_view),
            ("<int:approval_id>/delegate/", self.delegate_view),
            ("<int:approval_id>/comment/", self.comment_view),
            ("news/", self.news_view),
        )
        named = [
            path(
                address,
                self.admin_site.admin_view(view),
                name=f"approvals_app_approval_{view.__name__.removesuffix('_view')}",
            )
            for address, view in pages
        ]
        return [*named, *super().get_urls()]

    def news_view(self, request: HttpRequest) -> HttpResponse:
        """Say what the inbox on somebody's screen does not know yet: what the page asks for, hinted or not."""
        if not self.has_view_permission(request):
            raise Http404
        inbox = self.inbox(request)
        newest = inbox.newest_event()
        news = inbox.news_since(
            _number(request.GET.get("after", "")),
            tab=self.tab(request),
            shown=[_number(text) for text in request.GET.get("shown", "").split(",")[:MAX_SHOWN]],
        )
        return JsonResponse({**news, "after": newest})

    def page_context(self, request: HttpRequest, row: Approval) -> dict[str, Any]:
        return page_of(row, self.inbox(request))

    def respond_view(self, request: HttpRequest, approval_id: int) -> HttpResponse:
        """Take an answer; POST only. What cannot be taken is shown with what was typed."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        approval = self.get_object(request, str(approval_id))
        if approval is None:
            raise Http404
        typed = request.POST.dict()
        if typed.get(DECISION) == PREVIEW:
            return self.render_page(request, approval, page_of(approval, self.inbox(request), typed))
        seen = _number(request.POST.get("version", "")) or None
        try:
            decided = answer(approval, _user(request), typed, comments=_comments(request), version=seen)
        except FormUnreadable as error:
            return self._page_again(request, approval, typed, error.problems)
        except ResponseInvalid as error:
            return self._page_again(request, approval, typed, problems_of_answer(approval, error.problems))
        except OutOfDate:
            # What was typed is kept; what changed is there to be looked at before it is sent again.
            approval = self.get_object(request, str(approval_id))
            changed = (
                "This question changed while you looked at it. See what is new below, then send your answer."
            )
            return self._page_again(request, approval, typed, {"": changed}, status=409)
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        else:
            messages.success(request, f"{_done(decided)}: {decided.block_name or decided.block_id}.")
        return HttpResponseRedirect(reverse("admin:approvals_app_approval_change", args=[approval_id]))

    def delegate_view(self, request: HttpRequest, approval_id: int) -> HttpResponse:
        """Hand a question on; POST only."""

        def hand_on(approval: Approval) -> str:
            to = request.POST.get("to", "").strip()
            delegate_approval(
                approval_id=approval.public_id,
                actor=_user(request),
                to=to,
                comments=_comments(request),
                source="admin",
            )
            return f"Handed to {to}."

        return self._act(request, approval_id, hand_on)

    def comment_view(self, request: HttpRequest, approval_id: int) -> HttpResponse:
        """Say something that decides nothing; POST only."""

        def say(approval: Approval) -> str:
            text = _comments(request).strip()
            if not text:
                raise NothingSaid
            comment_on_approval(
                approval_id=approval.public_id, actor=_user(request), text=text, source="admin"
            )
            return "Said."

        return self._act(request, approval_id, say)

    def _act(self, request: HttpRequest, approval_id: int, act: Callable[[Approval], str]) -> HttpResponse:
        """Do something to an approval that decides nothing, and go back to its page with what came of it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        approval = self.get_object(request, str(approval_id))
        if approval is None:
            raise Http404
        try:
            messages.success(request, act(approval))
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
        return HttpResponseRedirect(reverse("admin:approvals_app_approval_change", args=[approval_id]))

    @admin.action(description="Approve selected", permissions=["respond"])
    def approve_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        return self._answer_selected(request, queryset, approved=True)

    @admin.action(description="Reject selected", permissions=["respond"])
    def reject_selected(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        return self._answer_selected(request, queryset, approved=False)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:  # type: ignore[override]
        """Do what the buttons under the list say; raises ``Http404`` for a selection that is none."""
        if not all(_number(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise Http404
        return super().response_action(request, queryset)

    def _answer_selected(
        self, request: HttpRequest, queryset: QuerySet[Approval], *, approved: bool
    ) -> HttpResponse | None:
        """Ask once more, then answer each of the selected for itself and report on each."""
        if "confirmed" in request.POST:
            return self._report(request, approved=approved)
        chosen = list(queryset.order_by("id")[: MAX_SELECTED + 1])
        if len(chosen) > MAX_SELECTED:
            messages.error(request, f"Select at most {MAX_SELECTED} at a time.")
            return None
        candidates = candidates_of(_user(request), chosen, approved=approved)
        possible = sum(not candidate.hindrance for candidate in candidates)
        context = {
            "title": f"{'Approve' if approved else 'Reject'} {possible} of {len(candidates)} selected?",
            "candidates": candidates,
            "possible": possible,
            "approved": approved,
            "action": "approve_selected" if approved else "reject_selected",
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "max_comments": MAX_COMMENTS,
        }
        return self._bulk_page(request, "admin/approvals_confirm.html", context)

    def _report(self, request: HttpRequest, *, approved: bool) -> HttpResponse:
        # Not by the tab's rows: who was answered for in the meantime is still reported on.
        selected = [_number(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)[:MAX_SELECTED]]
        chosen = self.get_queryset(request).filter(pk__in=selected).order_by("id")
        outcomes = answer_each(
            _user(request),
            chosen,
            approved=approved,
            comments=_comments(request),
            versions={pk: _number(request.POST.get(f"version_{pk}", "")) for pk in selected},
        )
        done = sum(outcome.done for outcome in outcomes)
        verb = "Approved" if approved else "Rejected"
        context = {
            "title": f"{verb} {done} of {len(selected)}",
            "outcomes": outcomes,
            "unknown": len(selected) - len(outcomes),
        }
        return self._bulk_page(request, "admin/approvals_report.html", context)

    def _bulk_page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        back = f"{reverse('admin:approvals_app_approval_changelist')}?{request.GET.urlencode()}"
        return TemplateResponse(request, template, {**frame, "back": back.rstrip("?"), **context})

    def _page_again(
        self,
        request: HttpRequest,
        approval: Approval,
        typed: dict[str, str],
        problems: Mapping[str, str],
        *,
        status: int = 422,
    ) -> HttpResponse:
        context = page_of(approval, self.inbox(request), typed, problems)
        return self.render_page(request, approval, context, status=status)


class NothingSaid(WorkflowError):
    """A comment without words was sent."""

    code = "NOTHING_SAID"

    def __init__(self) -> None:
        super().__init__("the comment is empty")


def _done(approval: Approval) -> str:
    match approval.status:
        case ApprovalStatus.PENDING:
            return "Your answer counts, others have to answer too"
        case ApprovalStatus.APPROVED:
            return "Approved"
    return "Rejected"


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _comments(request: HttpRequest) -> str:
    return request.POST.get("comments", "").replace("\x00", "")[:MAX_COMMENTS]
