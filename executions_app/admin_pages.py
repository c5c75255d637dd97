"""What the pages of one run share: finding it, the frame around it, and forms whose errors stand where they belong."""

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from executions_app.admin_commands import MAX_REASON, kept_reason
from executions_app.models import Execution
from executions_app.services.control import Asked
from workflow_service.accounts.models import User
from workflow_service.admin_pages import PageAdmin, sentence
from workflow_service.engine.errors import WorkflowError


class ReasonForm(forms.Form):
    """Why a command is given; every form of a command has it."""

    required_css_class = "wf-required"
    # Control characters in what is typed are refused by the fields; a reason is merely cleaned.
    reason = forms.CharField(
        required=False,
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept with your name in the history of the run.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        # The reason comes last, whatever a command asks for besides.
        self.order_fields([name for name in self.fields if name != "reason"] + ["reason"])

    def asked(self, actor: User) -> Asked:
        """Return who gives the command, and why."""
        return Asked.by(actor, kept_reason(self.cleaned_data["reason"]))

    def refuse(self, error: WorkflowError) -> None:
        """Show why a command was not carried out, in the service's words."""
        self.add_error(None, sentence(error.message))


class ExecutionPages(PageAdmin):
    """Pages about one run that its user may see."""

    def execution_of(self, request: HttpRequest, execution_id: int) -> Execution:
        """Return the run; raises ``Http404`` where there is none for this user."""
        found = self.get_object(request, str(execution_id))
        if not isinstance(found, Execution):
            raise Http404
        return found

    def framed(
        self,
        request: HttpRequest,
        execution: Execution | None,
        template: str,
        context: dict[str, Any],
        *,
        status: int = 200,
    ) -> HttpResponse:
        """Render a page in the admin's frame."""
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": execution,
            "execution": execution,
            "media": self.media,
        }
        return render(request, template, frame | context, status=status)


def user_of(request: HttpRequest) -> User:
    """Return who is signed in."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the admin lets nobody else in
    return user
