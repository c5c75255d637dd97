"""The page from which a run is started: which template, with what input, and how.

The same service, rights and limits as the API's. A form that is sent twice starts one run: it bears a token, and with
what was typed that makes the start's idempotency key. Without a template the page offers those that one may start.
"""

import hashlib
import json
import secrets
from typing import Any

from django.contrib import messages
from django.db.models import F, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from executions_app.admin_pages import ExecutionPages, user_of
from executions_app.admin_start_form import (
    CHANNELS,
    RECOVERY,
    OptionsShown,
    StartForm,
    StartUnreadable,
    options_of_run,
    read_options,
    shown_options,
)
from executions_app.models import Execution
from executions_app.services.executions import runnable_version, start_execution
from templates_app.deprecation import deprecation_findings
from templates_app.models import Template, TemplateShare, TemplateVersion
from templates_app.plans import compiled_version
from templates_app.search import search_templates
from templates_app.sharing import may, require_on, shared_with
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import SHARE_ACTIONS, Action
from workflow_service.accounts.throttles import ExecutionThrottle
from workflow_service.admin_pages import sentence
from workflow_service.engine.definition import JsonObject
from workflow_service.engine.errors import InvalidDefinition, WorkflowError
from workflow_service.engine.json_values import JsonUnfit, check_json
from workflow_service.engine.states import Priority, TemplateStatus
from workflow_service.settings.config import get_config

OFFERED = 50
MAX_TOKEN = 40
STARTABLE = (TemplateStatus.ACTIVE, TemplateStatus.DEPRECATED)


class StartPage(ExecutionPages):
    """The page that starts runs, in the place of the admin's own for adding a row."""

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask with what a run is to start; by POST start it."""
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        again = self._run_again(request)
        template = again.template if again else self._template(request)
        if template is None:
            return self._choose(request)
        version = _version_of(template, request.GET.get("version"), again)
        if version is None:
            return self._refused(request, template, "The template has no version to start.")
        try:
            schema = compiled_version(version.pk).definition.input_schema
        except InvalidDefinition as error:
            return self._refused(request, template, sentence(error.message))
        present = again.given.input if again else None
        form = StartForm(schema, present, as_json="json" in request.GET)
        return self._ask_or_start(request, template, version, form, again)

    def _ask_or_start(
        self,
        request: HttpRequest,
        template: Template,
        version: TemplateVersion,
        form: StartForm,
        again: Execution | None,
    ) -> HttpResponse:
        problems: dict[str, str] = {}
        options = options_of_run(again.given.options) if again else shown_options()
        if request.method == "POST":
            options = shown_options(request.POST)
            try:
                execution = _start(request, template, version, form, options)
            except StartUnreadable as error:
                problems = {name: sentence(text) for name, text in error.problems.items()}
            else:
                messages.success(request, "Started.")
                return HttpResponseRedirect(
                    reverse("admin:executions_app_execution_change", args=[execution.pk])
                )
            options = shown_options(request.POST, problems)
        context = {
            "groups": form.groups(request.POST, problems),
            "can_be_fields": form.has_fields,
            "as_json": form.as_json,
            "other_way": _other_way(request, form),
            "options": options,
            "problems": problems,
            "general": problems.get("", ""),
            "version": version,
            "again": again,
            "once": request.POST.get("once", "")[:MAX_TOKEN] or secrets.token_urlsafe(12),
            "priorities": list(Priority),
            "recoveries": RECOVERY.items(),
            "channels": CHANNELS.items(),
            "warnings": deprecation_findings(template),
            **_readiness(template, version, user_of(request)),
        }
        return self._page(request, template, context)

    def _choose(self, request: HttpRequest) -> HttpResponse:
        """Offer the templates that the user may start."""
        words = request.GET.get("q", "").replace("\x00", "").strip()[:200]
        found = self._startable(request)
        found = (
            search_templates(found, words).order_by(F("rank").desc(), "-id")
            if words
            else found.order_by("name", "id")
        )
        templates = list(
            found.select_related("current_version").defer("current_version__definition")[: OFFERED + 1]
        )
        context = {
            "title": "Start a run",
            "words": words,
            "templates": templates[:OFFERED],
            "more": len(templates) > OFFERED,
        }
        return self.framed(request, None, "admin/execution_choose.html", context)

    def _startable(self, request: HttpRequest) -> "QuerySet[Template]":
        """Return the templates that may be started by role or by a share, of the workspaces one may look into."""
        user = user_of(request)
        rights = [right for right, actions in SHARE_ACTIONS.items() if Action.EXECUTION_START in actions]
        shares = TemplateShare.objects.filter(shared_with(user), right__in=rights)
        by_role = self.workspaces(request, Action.EXECUTION_START)
        by_share = Q(pk__in=shares.values("template"), workspace__in=user.workspaces.all())
        return Template.objects.filter(Q(workspace__in=by_role) | by_share, status__in=STARTABLE)

    def _refused(self, request: HttpRequest, template: Template, why: str) -> HttpResponse:
        return self._page(request, template, {"refused": why})

    def _page(self, request: HttpRequest, template: Template, context: dict[str, Any]) -> HttpResponse:
        shown = {"title": f"Start {template.name}", "template": template}
        return self.framed(request, None, "admin/execution_start.html", shown | context)

    def _template(self, request: HttpRequest) -> Template | None:
        """Return the template that is named by key or public id; raises ``Http404`` where the user sees none such."""
        name = request.GET.get("template", "")
        if not name:
            return None
        key = (
            {"pk": int(name)}
            if name.isascii() and name.isdigit() and len(name) < 18
            else {"public_id": name[:40]}
        )
        if "\x00" in name:
            raise Http404
        seen = Template.objects.filter(workspace__in=self.workspaces(request, Action.TEMPLATE_READ), **key)
        template = seen.select_related("workspace", "current_version", "owner").first()
        if template is None:
            raise Http404
        return template

    def _run_again(self, request: HttpRequest) -> Execution | None:
        name = request.GET.get("again", "")
        if not name:
            return None
        runs = self.get_queryset(request).select_related(
            "given", "template__workspace", "template__current_version"
        )
        run = runs.filter(public_id=name[:40].replace("\x00", "")).first()
        if not isinstance(run, Execution):
            raise Http404
        return run


def _version_of(template: Template, ordinal: str | None, again: Execution | None) -> TemplateVersion | None:
    """Return the version that is asked for by number, else that of the run that is run again, else the current one."""
    if not ordinal:
        return again.version if again else template.current_version
    number = int(ordinal) if ordinal.isascii() and ordinal.isdigit() and len(ordinal) < 9 else 0
    version = template.versions.filter(ordinal=number).first()
    if version is None:
        raise Http404
    return version


def _readiness(template: Template, version: TemplateVersion, user: User) -> dict[str, Any]:
    """Say before anything is typed why a start would be refused, where it would be."""
    if not may(user, template, Action.EXECUTION_START):
        return {"refused": "You may look at this template, and not start it."}
    try:
        runnable_version(template, version)
    except WorkflowError as error:
        return {"refused": sentence(error.message), "reasons": error.problems}
    return {}


def _start(
    request: HttpRequest,
    template: Template,
    version: TemplateVersion,
    form: StartForm,
    options: OptionsShown,
) -> Execution:
    """Start a run with what was typed; raises ``StartUnreadable`` naming the fields that keep it from that."""
    user = user_of(request)
    found: dict[str, str] = {}
    given: JsonObject = {}
    how: JsonObject = {}
    try:
        require_on(template, user, Action.EXECUTION_START)
        given = form.read_input(request.POST)
        check_json(given, max_bytes=get_config().max_input_bytes)
    except StartUnreadable as error:
        found |= error.problems
    except WorkflowError as error:
        found |= _by_field(form, error, "/input" if isinstance(error, JsonUnfit) else "")
    try:
        how = read_options(options)
    except StartUnreadable as error:
        found |= error.problems
    if not found and not ExecutionThrottle().allow_request(request, None):  # type: ignore[arg-type]
        found[""] = "you have started as many runs as one may in an hour"
    if found:
        raise StartUnreadable(found)
    body = json.dumps([template.pk, version.pk, given, how], sort_keys=True).encode()
    digest = hashlib.sha256(body).hexdigest()
    once = request.POST.get("once", "")[:MAX_TOKEN]
    try:
        started = start_execution(
            workspace=template.workspace,
            actor=user,
            template=template,
            # Shown was the current one where none was named: what is chosen for such starts is chosen for this one too.
            version=version if request.GET.get("version") or request.GET.get("again") else None,
            input=given,
            options=how,
            idempotency_key=f"form:{user.pk}:{once}:{digest[:32]}" if once.isprintable() and once else None,
            body_sha256=digest,
        )
    except WorkflowError as error:
        raise StartUnreadable(_by_field(form, error)) from error
    return started.execution


def _by_field(form: StartForm, error: WorkflowError, start: str = "") -> dict[str, str]:
    """Return what an error says by the fields it is about; all of it as one where it is about none."""
    problems = tuple(
        type(one)(one.code, one.message, start + one.pointer, one.suggestion) for one in error.problems
    )
    found = form.problems_of(problems) if any(one.pointer for one in problems) else {}
    return found or {"": error.message}


def _other_way(request: HttpRequest, form: StartForm) -> str:
    """Return the query of the same page with fields in the place of one text, or the other way about."""
    query = request.GET.copy()
    if form.as_json:
        query.pop("json", None)
    else:
        query["json"] = "yes"
    return query.urlencode()
