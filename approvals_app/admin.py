"""Admin pages of approvals: the inbox, and one question with its figures and the run so far.

Looking changes nothing. An answer is a POST with the CSRF token and goes through the one service that
decides.
"""

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

from approvals_app.admin_bulk import MAX_SELECTED, answer_each, candidates_of
from approvals_app.approval_page import PREVIEW, answer, approval_badge, page_of
from approvals_app.errors import ResponseInvalid
from approvals_app.inbox import LABELS, Tab, asked_of, in_tab, newest_event, news_since, order_of, tabs_of
from approvals_app.models import Approval
from approvals_app.response_form import DECISION, problems_of_answer
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin, WordsFilter, sentence
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
        self.tab = model_admin.tab(request)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return in_tab(self.tab, _user(request), queryset)


@admin.register(Approval)
class ApprovalAdmin(PageAdmin):
    view_action = Action.APPROVAL_READ
    page_template = "admin/approval.html"
    change_list_template = "admin/approval_list.html"
    list_display_links = ("question",)
    list_filter = (TabFilter, ("type", WordsFilter), ("status", WordsFilter), "level", "requested_at")
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
        found = super().get_queryset(request).select_related(*self.list_select_related)
        return found.defer("input", "proposed", "response_schema", "response")

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
            "tabs": tabs_of(_user(request), self.get_queryset(request), tab),
            "newest_event": self._newest_event(request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        pages = (("<int:approval_id>/respond/", self.respond_view), ("news/", self.news_view))
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
        newest = self._newest_event(request)
        news = news_since(
            _number(request.GET.get("after", "")),
            tab=self.tab(request),
            user=_user(request),
            approvals=self.get_queryset(request),
            shown=[_number(text) for text in request.GET.get("shown", "").split(",")[:MAX_SHOWN]],
        )
        return JsonResponse({**news, "after": newest})

    def page_context(self, request: HttpRequest, row: Approval) -> dict[str, Any]:
        return page_of(row, _user(request))

    def respond_view(self, request: HttpRequest, approval_id: int) -> HttpResponse:
        """Take an answer; POST only. What cannot be taken is shown with what was typed."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        approval = self.get_object(request, str(approval_id))
        if approval is None:
            raise Http404
        typed = request.POST.dict()
        if typed.get(DECISION) == PREVIEW:
            return self.render_page(request, approval, page_of(approval, _user(request), typed))
        try:
            decided = answer(approval, _user(request), typed, comments=_comments(request))
        except FormUnreadable as error:
            return self._page_again(request, approval, typed, error.problems)
        except ResponseInvalid as error:
            return self._page_again(request, approval, typed, problems_of_answer(approval, error.problems))
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

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:  # type: ignore[override]
        """Do what the buttons under the list say; raises ``Http404`` for a selection that is none."""
        if not all(_number(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise Http404
        return super().response_action(request, queryset)  # type: ignore[return-value]

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
        self, request: HttpRequest, approval: Approval, typed: dict[str, str], problems: Any
    ) -> HttpResponse:
        context = page_of(approval, _user(request), typed, problems)
        return self.render_page(request, approval, context, status=422)

    def _newest_event(self, request: HttpRequest) -> int:
        return newest_event(self.workspaces(request, Action.APPROVAL_READ).values("pk"))


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _comments(request: HttpRequest) -> str:
    return request.POST.get("comments", "").replace("\x00", "")[:MAX_COMMENTS]
