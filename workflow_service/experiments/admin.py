"""Admin pages of experiments: the list, one with its arms and what they say, and the form that describes one.

Looking changes nothing; a command is a POST with the CSRF token, and is asked for once more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from templates_app.models import Template
from templates_app.sharing import may
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin, WordsFilter, sentence
from workflow_service.badges import badge
from workflow_service.engine.errors import WorkflowError
from workflow_service.experiments.admin_form import ExperimentForm
from workflow_service.experiments.cautions import cautions_of
from workflow_service.experiments.evaluation import Effect, effect_of
from workflow_service.experiments.measures import MEASURES
from workflow_service.experiments.models import Experiment, Metric
from workflow_service.experiments.pictures import render_interval
from workflow_service.experiments.selectors import SHOWN
from workflow_service.experiments.services.evaluations import newest_reading
from workflow_service.experiments.services.experiments import (
    delete_experiment,
    promote_treatment,
    start_experiment,
    stop_experiment,
)
from workflow_service.templatetags.workflow_service import moment

TEMPLATES_OFFERED = 200
# Nothing of these is started, so there is nothing to divide.
NEVER_STARTED = ("draft", "archived")
UNITS = {Metric.SUCCESS_RATE: "percentage points", Metric.DURATION: "%", Metric.COST: "USD"}
Status = Experiment.Status


@dataclass(frozen=True, slots=True)
class Command:
    """One command on an experiment, what is asked before, and what is said after."""

    label: str
    statuses: frozenset[Status]
    give: Callable[..., object]
    explained: str
    done: str
    is_grave: bool = False


COMMANDS: Mapping[str, Command] = {
    "start": Command(
        "Start",
        frozenset({Status.DRAFT}),
        start_experiment,
        "From now on, starts of this workflow that name no version are divided among both. Where the template runs "
        "something else than the control, it is rolled back to it first.",
        "Started.",
    ),
    "promote": Command(
        "Promote the treatment",
        frozenset({Status.RUNNING, Status.STOPPED}),
        promote_treatment,
        "What the treatment says becomes the template's current version; a running experiment is ended by it.",
        "Promoted.",
    ),
    "stop": Command(
        "Stop",
        frozenset({Status.RUNNING}),
        stop_experiment,
        "Every start gets the control from now on. Runs under way keep their version, and the figures are kept.",
        "Stopped.",
        is_grave=True,
    ),
    "delete": Command(
        "Delete",
        frozenset({Status.DRAFT}),
        delete_experiment,
        "The draft is deleted. Nothing ran yet, so nothing is lost but what it says.",
        "Deleted.",
        is_grave=True,
    ),
}


@admin.register(Experiment)
class ExperimentAdmin(PageAdmin):
    when_empty = (
        "An experiment divides the runs of a workflow between two of its versions and finds out which "
        "is better. Describe one for a workflow with two versions, and it is listed here."
    )
    view_action = Action.TEMPLATE_READ
    add_action = Action.TEMPLATE_CREATE
    page_template = "admin/experiment.html"
    list_display = ("title", "state", "compared", "decides", "began")
    list_display_links = ("title",)
    list_filter = (("status", WordsFilter), ("metric", WordsFilter))
    list_select_related = SHOWN
    list_per_page = 50
    search_fields = ("public_id", "name", "template__name")
    search_help_text = "Experiment id, its name or the template's"
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="Experiment", ordering="name")
    def title(self, experiment: Experiment) -> SafeString:
        return format_html(
            '{}<span class="wf-id wf-snippet">{}</span>', experiment.name, experiment.public_id
        )

    @admin.display(description="Status", ordering="status")
    def state(self, experiment: Experiment) -> SafeString:
        won = f"the {experiment.winner} won" if experiment.winner else ""
        return format_html('{}<span class="wf-snippet">{}</span>', badge(experiment.status), won)

    @admin.display(description="Compared")
    def compared(self, experiment: Experiment) -> SafeString:
        labels = (experiment.control.label, experiment.treatment.label)
        return format_html('{}<span class="wf-snippet">{} with {}</span>', experiment.template.name, *labels)

    @admin.display(description="Decided by", ordering="metric")
    def decides(self, experiment: Experiment) -> str:
        return Metric(experiment.metric).label

    @admin.display(description="Started", ordering="started_at")
    def began(self, experiment: Experiment) -> SafeString | str:
        return moment(experiment.started_at) or "—"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related(*SHOWN)

    def get_urls(self) -> list[URLPattern]:
        command = path(
            "<int:experiment_id>/command/",
            self.admin_site.admin_view(self.command_view),
            name="experiments_experiment_command",
        )
        return [command, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: Experiment) -> dict[str, Any]:
        found, read_at = newest_reading(row)
        effect = effect_of(found)
        metric = Metric(row.metric)
        return {
            "title": row.name,
            "experiment": row,
            "commands": _offered(_user(request), row),
            "cautions": cautions_of([row])[row.pk],
            "reading": found,
            "arms": (found["control"], found["treatment"]),
            "effect": effect,
            "unit": UNITS[metric],
            "digits": 4 if metric is Metric.COST else 1,
            "picture": _picture(metric, effect) if effect else None,
            "alpha": f"{float(row.alpha):g}",
            "confidence": f"{100 * (1 - float(row.alpha)):g}",
            "read_at": read_at,
            "control_share": 100 - row.treatment_share,
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Describe an experiment with the template that is named, or offer those that the user may change."""
        name = request.GET.get("template", "")
        if not name:
            return self._choose(request)
        template = self._template(request, name)
        initial = {"name": f"{template.name}: which is better"[:200]}
        form = ExperimentForm(request.POST or None, template=template, initial=initial)
        created = form.create_as(_user(request)) if request.method == "POST" and form.is_valid() else None
        if created is None:
            context = {"title": f"Experiment with {template.name}", "form": form, "template": template}
            return self._page(request, None, "admin/experiment_new.html", context)
        messages.success(request, "Described. It changes nothing before it is started.")
        return _to(created)

    def command_view(self, request: HttpRequest, experiment_id: int) -> HttpResponse:
        """Give an experiment a command; POST only, and asked for once more."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        experiment = self.get_object(request, str(experiment_id))
        if not isinstance(experiment, Experiment) or not self.has_view_permission(request, experiment):
            raise Http404
        name = request.POST.get("command", "")
        command = _offered(_user(request), experiment).get(name)
        if command is None:
            messages.error(request, "That cannot be done to it any more, or not by you.")
            return _to(experiment)
        if "confirmed" not in request.POST:
            context = {
                "title": f"{command.label}?",
                "experiment": experiment,
                "name": name,
                "command": command,
            }
            return self._page(request, experiment, "admin/experiment_confirm.html", context)
        try:
            command.give(experiment=experiment, actor=_user(request))
        except WorkflowError as error:
            messages.error(request, sentence(error.message))
            return _to(experiment)
        messages.success(request, command.done)
        if name == "delete":
            return HttpResponseRedirect(reverse("admin:experiments_experiment_changelist"))
        return _to(experiment)

    def _choose(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        rows = Template.objects.filter(workspace__in=self.workspaces(request, Action.TEMPLATE_READ))
        rows = rows.exclude(status__in=NEVER_STARTED).annotate(number_of_versions=Count("versions"))
        rows = rows.filter(number_of_versions__gte=2).select_related("workspace", "current_version")
        shown = rows.defer("current_version__definition").order_by("name", "pk")[:TEMPLATES_OFFERED]
        user = _user(request)
        templates = [row for row in shown if may(user, row, Action.TEMPLATE_UPDATE)]
        context = {"title": "Describe an experiment", "templates": templates}
        return self._page(request, None, "admin/experiment_choose.html", context)

    def _template(self, request: HttpRequest, name: str) -> Template:
        """Return the template of that public id if the user may change it."""
        rows = Template.objects.filter(workspace__in=self.workspaces(request, Action.TEMPLATE_READ))
        rows = rows.select_related("workspace", "current_version", "owner")
        template = rows.filter(public_id=name[:40].replace("\x00", "")).first()
        if template is None:
            raise Http404
        if not may(_user(request), template, Action.TEMPLATE_UPDATE):
            raise PermissionDenied
        return template

    def _page(
        self, request: HttpRequest, row: Experiment | None, name: str, context: dict[str, Any]
    ) -> HttpResponse:
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "media": self.media,
        }
        return render(request, name, frame | context)


def _offered(user: User, experiment: Experiment) -> dict[str, Command]:
    """Return what the user may do to an experiment now."""
    if not may(user, experiment.template, Action.TEMPLATE_UPDATE):
        return {}
    offered = {name: one for name, one in COMMANDS.items() if experiment.status in one.statuses}
    is_current = experiment.template.current_version_id == experiment.control_id
    if experiment.promoted_version_id is not None or not is_current:
        offered.pop("promote", None)
    return offered


def _picture(metric: Metric, effect: Effect) -> SafeString:
    title = (
        f"{metric.label}: changed by {effect.difference:.4g} {UNITS[metric]}, "
        f"between {effect.lower:.4g} and {effect.upper:.4g}"
    )
    return render_interval(effect, title, higher_is_better=MEASURES[metric].higher_is_better)


def _to(experiment: Experiment) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:experiments_experiment_change", args=[experiment.pk]))


def _user(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the admin lets nobody else in
    return user
