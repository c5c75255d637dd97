"""The pages of how runs went: what they show, to whom, and with nothing to show."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from templates_app.models import Template
from tests.factories import make_template, make_user, make_workspace, noop
from tests.past_runs import PastBlock, count_all, past_run
from tests.people import People, make_people
from workflow_service.accounts.models import User
from workflow_service.analytics.models import Rollup

LIST = "/admin/analytics/rollup/"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def in_words(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.unescape(response.content.decode())).split())


@pytest.fixture
def people(db: None) -> People:
    return make_people()


@pytest.fixture
def template(people: People) -> Template:
    template = make_template([noop("fetch"), noop("load")], workspace=people.workspace)
    now = timezone.now()
    for day in range(25):
        past_run(template, now - timedelta(days=day), [PastBlock("fetch", 100), PastBlock("load", 900)])
    lost = PastBlock("load", 300, "FAILED", "NETWORK_ERROR")
    for day in range(4):
        past_run(template, now - timedelta(days=day), [PastBlock("fetch", 100), lost], "FAILED")
    count_all()
    return template


def page_of(template: Template) -> str:
    return f"{LIST}template/{template.pk}/"


def test_a_template_at_a_glance(people: People, template: Template) -> None:
    response = signed_in(people.developer).get(page_of(template))
    page = in_words(response)
    assert response.status_code == 200
    assert "Runs 29" in page
    assert "Success rate 86.21 %" in page
    assert "'load' has the highest error rate: 13.8 % (4 of 29), most often with NETWORK_ERROR." in page
    assert "'load' takes 88.6 % of the time of all blocks" in page
    assert "Network error 4 load" in page
    assert response.content.decode().count('<div class="wf-chart"') == 2
    # What took the most time comes first.
    assert [state.state for state in response.context["states"]] == ["load", "fetch"]


@pytest.mark.parametrize("period", ["24h", "7d", "30d", "90d", "1y", "nonsense"])
def test_periods(people: People, template: Template, period: str) -> None:
    for address in (page_of(template), LIST):
        response = signed_in(people.developer).get(address, {"period": period})
        assert response.status_code == 200
        assert response.context["period"] == ("30d" if period == "nonsense" else period)


def test_one_version(people: People, template: Template) -> None:
    client = signed_in(people.developer)
    assert client.get(page_of(template), {"version": "1"}).context["statistics"].total == 29
    for wrong in ("7", "x", "99999999999999999999"):
        assert client.get(page_of(template), {"version": wrong}).status_code == 404


def test_a_workspace_at_a_glance(people: People, template: Template) -> None:
    response = signed_in(people.developer).get(LIST)
    assert f"{template.name} 29 0 4 86.21 %" in in_words(response)
    assert page_of(template) in response.content.decode()


def test_nothing_is_said_of_nothing(people: People) -> None:
    template = make_template([noop("a")], workspace=people.workspace)
    page = in_words(signed_in(people.developer).get(page_of(template)))
    assert "No run that was started in this time has ended." in page
    assert "No work failed." in page
    assert "No template has run in this time." in in_words(signed_in(people.developer).get(LIST))


def test_what_is_not_counted_yet_is_said(people: People, template: Template) -> None:
    past_run(template, timezone.now(), [PastBlock("fetch")])
    page = in_words(signed_in(people.developer).get(page_of(template)))
    assert "1 run of this period has ended and will be in the figures soon." in page


def test_foreign_templates_and_workspaces_are_not_found(people: People, template: Template) -> None:
    stranger = make_user(make_workspace(), is_staff=True)
    assert signed_in(stranger).get(page_of(template)).status_code == 404
    assert signed_in(stranger).get(LIST, {"workspace": people.workspace.public_id}).status_code == 404
    assert signed_in(make_user(is_staff=True)).get(LIST).status_code == 403


def test_a_rollup_leads_to_its_template(people: People, template: Template) -> None:
    rollup = Rollup.objects.filter(template=template).first()
    assert rollup is not None
    response = signed_in(people.developer).get(f"{LIST}{rollup.pk}/change/")
    assert response.headers["Location"] == page_of(template)
    assert signed_in(people.developer).get(f"{LIST}0/change/").status_code == 404


def test_the_page_of_a_template_leads_here(people: People, template: Template) -> None:
    page = signed_in(people.developer).get(f"/admin/templates_app/template/{template.pk}/change/")
    assert page_of(template) in page.content.decode()
