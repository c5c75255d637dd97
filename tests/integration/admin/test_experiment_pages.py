"""The admin's pages of experiments: what they say of each state, and the commands that are offered and given."""

from typing import Any

import pytest
from django.test import Client

from tests.experiments import let_have_ended, make_experiment
from tests.factories import make_template, make_user, noop
from tests.people import People, make_people
from workflow_service.accounts.models import Role
from workflow_service.experiments.models import Arm, Experiment
from workflow_service.experiments.services.evaluations import evaluate_experiments

pytestmark = pytest.mark.django_db
LIST = "/admin/experiments/experiment/"


@pytest.fixture
def people() -> People:
    return make_people()


def as_user(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def of(people: People, **fields: Any) -> Experiment:
    return make_experiment(workspace=people.workspace, owner=people.admin, **fields)


def page_of(client: Client, experiment: Experiment) -> str:
    answer = client.get(f"{LIST}{experiment.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def give(client: Client, experiment: Experiment, command: str, **fields: str) -> Any:
    return client.post(f"{LIST}{experiment.pk}/command/", {"command": command, **fields}, follow=True)


def test_each_state_has_its_page(people: People) -> None:
    client = as_user(people.admin)
    draft = of(people, begin=False, name="Not begun")
    assert "How it is set up" in page_of(client, draft)
    running = of(people, metric="duration")
    assert "Nothing can be said before both arms have 30 units" in page_of(client, running)
    let_have_ended(running, Arm.CONTROL, completed=40)
    let_have_ended(running, Arm.TREATMENT, completed=40, active_ms=1_010)
    shown = page_of(client, running)
    assert "+1.0 %" in shown
    assert '<svg class="wf-interval wf-tone-idle"' in shown
    won, back = of(people), of(people)
    let_have_ended(won, Arm.CONTROL, completed=60, failed=40)
    let_have_ended(won, Arm.TREATMENT, completed=100)
    let_have_ended(back, Arm.CONTROL, completed=25)
    let_have_ended(back, Arm.TREATMENT, failed=25)
    evaluate_experiments()
    assert "The treatment won" in page_of(client, won)
    assert "wf-tone-bad" in page_of(client, back)
    assert "fails more often by 100.0 percentage points" in page_of(client, back)
    listed = client.get(LIST).content.decode()
    assert all(word in listed for word in ("Rolled back", "the treatment won", "Not begun"))


def test_a_page_warns_of_what_is_not_to_be_believed_at_once(people: People) -> None:
    client, first = as_user(people.admin), of(people)
    assert "Not the first of its kind" not in page_of(client, first)
    again = Experiment.objects.create(
        workspace=first.workspace, template=first.template, control=first.control, treatment=first.treatment,
        name="Once more", created_by=people.admin, sticky_by="starter",
    )  # fmt: skip
    shown = page_of(client, again)
    assert "the second experiment with this workflow" in shown
    assert "Nothing is rolled back by itself before both arms have 20 starters" in shown


def test_a_command_is_asked_for_once_more_and_then_given(people: People) -> None:
    client, experiment = as_user(people.admin), of(people, begin=False)
    asked = give(client, experiment, "start").content.decode()
    assert "are divided among both" in asked
    experiment.refresh_from_db()
    assert experiment.status == "draft"
    assert "Started." in give(client, experiment, "start", confirmed="yes").content.decode()
    assert (
        "cannot be done to it any more"
        in give(client, experiment, "delete", confirmed="yes").content.decode()
    )
    assert "Promoted." in give(client, experiment, "promote", confirmed="yes").content.decode()
    experiment.refresh_from_db()
    assert (experiment.status, experiment.winner) == ("stopped", "treatment")
    assert "is version 1.3.0 of the template" in page_of(client, experiment)


def test_looking_is_for_all_members_and_commands_for_those_who_may_change_the_template(
    people: People,
) -> None:
    experiment = of(people)
    viewer = as_user(make_user(people.workspace, Role.VIEWER, is_staff=True))
    assert "wf-commands" not in page_of(viewer, experiment)
    assert "not by you" in give(viewer, experiment, "stop", confirmed="yes").content.decode()
    assert viewer.get(f"{LIST}add/?template={experiment.template.public_id}").status_code == 403
    stranger = as_user(people.stranger)
    assert stranger.post(f"{LIST}{experiment.pk}/command/", {"command": "stop"}).status_code == 404
    assert stranger.get(f"{LIST}add/?template={experiment.template.public_id}").status_code == 404
    assert experiment.name not in stranger.get(LIST).content.decode()
    assert viewer.get(f"{LIST}{experiment.pk}/command/").status_code == 405


def test_an_experiment_is_described_by_a_form(people: People) -> None:
    client, other = as_user(people.admin), of(people, begin=False)
    template_page = client.get(f"/admin/templates_app/template/{other.template_id}/change/").content.decode()
    assert f"{LIST}add/?template={other.template.public_id}" in template_page
    single = make_template([noop("a")], workspace=people.workspace)
    draft = of(people, begin=False).template
    draft.status = "draft"
    draft.save()
    offered = client.get(f"{LIST}add/").content.decode()
    assert f"template={other.template.public_id}" in offered
    for left_out in (single, draft):
        assert f"template={left_out.public_id}" not in offered
    assert "has nothing to be compared with" in offered
    address = f"{LIST}add/?template={other.template.public_id}"
    given = {
        "name": "By form", "control": other.control_id, "treatment": other.treatment_id, "metric": "cost",
        "treatment_share": "20", "sticky_by": "input", "sticky_expression": "", "max_error_increase": "5",
        "max_duration_ratio": "", "min_units": "30", "alpha": "0.05", "ends_at": "2126-12-24 18:00",
    }  # fmt: skip
    refused = client.post(address, given).content.decode()
    assert "is for stickyBy &#x27;input&#x27;, and needed there" in refused
    assert (
        "another version than the control"
        in client.post(address, given | {"treatment": other.control_id}).content.decode()
    )
    answer = client.post(address, given | {"sticky_expression": "workflow.input.customer"}, follow=True)
    assert "It changes nothing before it is started." in answer.content.decode()
    made = Experiment.objects.get(name="By form")
    assert (made.treatment_share, made.max_duration_ratio, made.status) == (20, None, "draft")
