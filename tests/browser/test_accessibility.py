"""Every page of the admin before axe, which must find nothing: WCAG 2.2 AA, with things in the lists."""

from collections.abc import Mapping
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from django.test import RequestFactory
from django.utils import timezone
from playwright.sync_api import Page

from approvals_app.models import Approval
from approvals_app.services.approvals import respond_to_approval
from approvals_app.services.delegation import comment_on_approval
from tests.advised import make_suggestion
from tests.browsing import SignIn
from tests.copied_runs import make_predictor
from tests.experiments import let_have_ended, make_experiment
from tests.factories import noop
from tests.failing_work import new_key, unsteady_block
from tests.past_runs import PastBlock, count_all, past_run
from tests.people import People, asking, make_people, question_of, run_asking
from tests.questions import run_triage
from workflow_service.accounts.models import User, Workspace
from workflow_service.anomalies.detection import Finding, Kind
from workflow_service.anomalies.telling import Found, record
from workflow_service.experiments.models import Arm

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
INPUT_SCHEMA = {
    "type": "object",
    "required": ["limit"],
    "properties": {
        "limit": {"type": "integer", "title": "Limit", "description": "In euro."},
        "mode": {"enum": ["strict", "lenient"]},
        "until": {"type": "string", "format": "date"},
        "more": {"type": "object"},
    },
}


@pytest.fixture
def people(transactional_db: None) -> People:
    people = make_people()
    User.objects.filter(pk=people.admin.pk).update(is_superuser=True)
    people.admin.refresh_from_db()
    return people


def fill(people: People) -> dict[str, str]:
    """Make something of what the pages show; return the addresses of the pages that no list leads to."""
    answered = question_of(run_asking(people, asking(message="Answered?")))
    comment_on_approval(approval_id=answered.public_id, actor=people.bob, text="Looks good.", source="admin")
    respond_to_approval(approval_id=answered.public_id, actor=people.bob, approved=True, source="admin")
    form = question_of(run_asking(people, asking("ask", type="INPUT", inputSchema=INPUT_SCHEMA)))
    # Its failure fills the lists of what was done about failures, and of what helped.
    run_asking(
        people,
        unsteady_block("shaky", new_key(), fields={"optional": True}, fails=9, error="VALIDATION_ERROR"),
    )
    first = noop("first", {"rows": [1, 2]}, name="First step")
    waiting = question_of(
        run_asking(people, first, asking(message="May it load?", fields={"dependencies": ["first"]}))
    )
    used = waiting.execution.template
    lost = PastBlock("load", 300, "FAILED", "NETWORK_ERROR")
    past_run(used, timezone.now(), [PastBlock("first", 1_000), lost], "FAILED")
    past_run(used, timezone.now(), [PastBlock("first", 1_000), PastBlock("load", 700)])
    count_all()
    unusual = Finding(Kind.DURATION, "first", 60_000, 100, 900, 1e-7, 120)
    record([Found(answered.execution_id, [unusual])])
    make_predictor(waiting.execution.template)
    no_model = {"enableAiDecisions": False}
    run_triage({"fallback": ["default"]}, workspace=people.workspace, options=no_model)
    choice = question_of(run_triage({"fallback": ["person"]}, workspace=people.workspace, options=no_model))
    run = f"/admin/executions_app/execution/{waiting.execution_id}"
    template = f"/admin/templates_app/template/{waiting.execution.template_id}"
    inbox = "/admin/approvals_app/approval"
    experiment = make_experiment(workspace=people.workspace, owner=people.admin)
    let_have_ended(experiment, Arm.CONTROL, completed=40)
    let_have_ended(experiment, Arm.TREATMENT, completed=40, active_ms=800)
    experiments = "/admin/experiments/experiment"
    suggestion = make_suggestion(waiting.execution.template)
    return {
        "advice": f"/admin/advisor/optimizationrecord/of/{suggestion.template_id}/",
        "experiment": f"{experiments}/{experiment.pk}/change/",
        "experiment to be described": f"{experiments}/add/?template={experiment.template.public_id}",
        "landing": "/admin/",
        "inbox, all": f"{inbox}/?inbox=all",
        "inbox, nothing found": f"{inbox}/?q=nothing-like-it",
        "question": f"{inbox}/{waiting.pk}/change/",
        "form": f"{inbox}/{form.pk}/change/",
        "choice": f"{inbox}/{choice.pk}/change/",
        "answered": f"{inbox}/{answered.pk}/change/",
        "run": f"{run}/change/",
        "unusual run": f"/admin/executions_app/execution/{answered.execution_id}/change/",
        "template": f"{template}/change/",
        "how a template ran": f"/admin/analytics/rollup/template/{used.pk}/",
        "how runs went": "/admin/analytics/rollup/?period=24h",
    }


def pages_of_lists(people: People) -> dict[str, str]:
    """Return every list of the admin that one may open, and the form or the page that it leads to."""
    request = RequestFactory().get("/admin/")
    request.user = people.admin
    found: dict[str, str] = {}
    for model, pages in admin.site._registry.items():
        if model is Approval or not pages.has_view_permission(request):
            continue
        label, name = f"{model._meta.app_label}/{model._meta.model_name}", str(model._meta.verbose_name)
        found[f"list of {name}"] = f"/admin/{label}/"
        first = pages.get_queryset(request).first()
        if pages.has_add_permission(request):
            found[f"add {name}"] = f"/admin/{label}/add/"
        if first is not None and (model is Workspace or not pages.has_add_permission(request)):
            found[f"page of {name}"] = f"/admin/{label}/{first.pk}/change/"
    return found


def violations(page: Page, address: str) -> list[str]:
    """Return what axe finds on a page, with the places; it may put no style of its own into the page."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.ok, (address, answer.status)
    options: dict[str, Any] = {
        "runOnly": {"type": "tag", "values": list(TAGS)},
        "resultTypes": ["violations"],
        "preload": False,
    }
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def check(page: Page, pages: Mapping[str, str]) -> None:
    """Fail with all that axe finds on all of the pages."""
    found = {name: violations(page, address) for name, address in pages.items()}
    assert [f"{name}: {problem}" for name, problems in found.items() for problem in problems] == []


def test_axe_finds_nothing_on_any_page(people: People, sign_in: SignIn) -> None:
    check(sign_in(people.admin), fill(people) | pages_of_lists(people))


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)], ids=["dark", "phone"])
def test_axe_finds_nothing_where_people_answer(
    people: People, sign_in: SignIn, width: int, dark: bool
) -> None:
    looked_at = ("/approval/", "/analytics/")
    pages = {
        name: address for name, address in fill(people).items() if any(part in address for part in looked_at)
    }
    page = sign_in(people.alice, width=width, dark=dark)
    check(page, pages)
    for address in ("/admin/", *pages.values()):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
