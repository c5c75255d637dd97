"""The page behind a link in an e-mail: it shows the question, and decides nothing until its form is sent.

Mail scanners open every link, so a GET changes nothing and shows nothing of the run but its question. What is sent goes
through the one service that decides, as the person whom the link was made for and against the version that it was made
for; whoever lost the right meanwhile is refused there. The link itself is the permission, so no cookie and no CSRF
token is asked for: nothing is sent along by a browser that another site could abuse.
"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from approvals_app import mail_links, notices
from approvals_app.assignment import Responder, responder_of
from approvals_app.errors import OutOfDate, ResponseInvalid
from approvals_app.mail_links import AnswerLink, LinkInvalid
from approvals_app.mending import open_to
from approvals_app.models import Approval
from approvals_app.response_form import AnswerForm, answer_form, problems_of_answer, read_answer
from approvals_app.services.approvals import respond_to_approval
from workflow_service.accounts.models import User
from workflow_service.admin_pages import sentence
from workflow_service.api_errors import status_of
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ApprovalStatus
from workflow_service.schema_forms import FormUnreadable

MAX_COMMENTS = 5_000
RENEW = "renew"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A link that was read, the question as it now stands, and its bearer as the question sees them."""

    link: AnswerLink
    approval: Approval
    responder: Responder

    @property
    def user(self) -> User:
        return self.link.user

    def state(self) -> str:
        """Return what the page has to say: open, answered, counted, stale or denied."""
        if self.approval.status != ApprovalStatus.PENDING:
            return "answered"
        if self.responder.objection(self.approval):
            return "denied"
        if self.responder.has_voted(self.approval):
            return "counted"
        return "open" if self.link.version == self.approval.version else "stale"


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def answer_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Show the question of a link, or take the answer that was sent."""
    opened = _open(token)
    if opened is None:
        return _page(request, None, status=404)
    if request.method == "POST":
        return _take(request, opened, token)
    return _page(request, opened)


def _open(token: str) -> _Opened | None:
    """Return what a link leads to; None where it leads nowhere, or to what its bearer may not see any more."""
    try:
        link = mail_links.read(token)
    except LinkInvalid:
        return None
    approvals = Approval.objects.select_related("workspace", "execution__template", "responded_by")
    approval = approvals.filter(pk=link.approval_id).first()
    if approval is None:
        return None
    responder = responder_of(link.user, approval.workspace)
    return _Opened(link, approval, responder) if responder.sees(approval) else None


def _take(request: HttpRequest, opened: _Opened, token: str) -> HttpResponse:
    """Act as the link's bearer; a link that is stale or used up is refused with what stands."""
    state = opened.state()
    if state == "stale" and request.POST.get("decision") == RENEW:
        notices.renew_link(opened.approval, opened.user)
        return _page(request, opened, renewed=True)
    if state != "open":
        return _page(request, opened, status=403 if state == "denied" else 409)
    typed = {name: str(value).replace("\x00", "") for name, value in request.POST.items()}
    problems: dict[str, str]
    try:
        mendable = open_to(opened.approval, opened.user)
        answer = read_answer(opened.approval, typed, mendable=mendable)
        respond_to_approval(
            approval_id=opened.approval.public_id,
            actor=opened.user,
            approved=answer.approved,
            response=answer.response,
            comments=typed.get("comments", "")[:MAX_COMMENTS],
            source="email",
            version=opened.link.version,
        )
        return HttpResponseRedirect(reverse("answer-by-link", args=[token]))
    except FormUnreadable as error:
        problems = dict(error.problems)
    except ResponseInvalid as error:
        problems = problems_of_answer(opened.approval, error.problems)
    except OutOfDate as error:
        # It changed between the look and the lock.
        again = _open(token)
        return _page(request, again, status=status_of(error) if again else 404)
    except WorkflowError as error:
        return _page(request, _open(token), status=status_of(error), problems={"": sentence(error.message)})
    return _page(request, opened, status=422, typed=typed, problems=problems)


def _form(opened: _Opened, typed: dict[str, str], problems: dict[str, str]) -> AnswerForm:
    mendable = open_to(opened.approval, opened.user)
    return answer_form(opened.approval, typed, problems, mendable=mendable)


def _page(
    request: HttpRequest,
    opened: _Opened | None,
    *,
    status: int = 200,
    typed: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    renewed: bool = False,
) -> HttpResponse:
    context: dict[str, Any] = {"state": "invalid", "title": "This link is not valid"}
    if opened is not None:
        approval, state = opened.approval, opened.state()
        context = {
            "state": state,
            "title": approval.block_name or approval.block_id,
            "approval": approval,
            "bearer": opened.user,
            "objection": opened.responder.objection(approval),
            "form": _form(opened, typed or {}, problems or {}) if state == "open" else None,
            "problem": (problems or {}).get("", ""),
            "comments": (typed or {}).get("comments", ""),
            "outcome": notices.ANSWERS.get(approval.status, "closed"),
            "renewed": renewed,
            "page": reverse("admin:approvals_app_approval_change", args=[approval.public_id]),
        }
    page = TemplateResponse(request, "approvals/answer.html", context, status=status)
    # The address is the permission: it must not travel on, nor be found.
    page["Referrer-Policy"] = "no-referrer"
    page["X-Robots-Tag"] = "noindex, nofollow"
    return page
