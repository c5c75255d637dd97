"""Experiments over HTTP: described, started, read, stopped and promoted; who may, and what is refused."""

from typing import Any

import pytest

from tests.caller import problem_of
from tests.factories import noop
from tests.house import House
from workflow_service.accounts.models import Role
from workflow_service.experiments.models import Experiment

pytestmark = pytest.mark.usefixtures("house")


def make_template(house: House) -> str:
    """Make a template of the developer's with two versions; return its id."""
    caller = house.caller()
    made = caller.post("templates", {"name": "T", "blocks": [noop("a", {"by": 1})]}).json()
    caller.put(f"templates/{made['templateId']}", {"name": "T", "blocks": [noop("a", {"by": 2})]})
    return str(made["templateId"])


def describe(house: House, template_id: str, **fields: Any) -> dict[str, Any]:
    body = {
        "templateId": template_id,
        "name": "Which is better",
        "control": "1.0.0",
        "treatment": "2",
        **fields,
    }
    answer = house.caller().post("experiments", body)
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def test_an_experiment_from_its_draft_to_its_promotion(house: House) -> None:
    template_id, caller = make_template(house), house.caller()
    made = describe(house, template_id, treatmentShare=20, alpha=0.01, maxDurationRatio=None)
    address = f"experiments/{made['experimentId']}"
    shown = {
        name: made[name] for name in ("status", "control", "treatment", "treatmentShare", "alpha", "winner")
    }
    assert shown == {
        "status": "draft", "control": "1.0.0", "treatment": "1.1.0", "treatmentShare": 20, "alpha": 0.01,
        "winner": None,
    }  # fmt: skip
    assert (made["maxErrorIncrease"], made["maxDurationRatio"]) == (5.0, None)
    changed = caller.patch(address, {"metric": "duration", "hypothesis": "It is faster."}).json()
    assert (changed["metric"], changed["name"]) == ("duration", "Which is better")
    started = caller.post(f"{address}/start").json()
    assert (started["status"], started["control"]) == ("running", "1.2.0")
    results = caller.get(f"{address}/results").json()
    assert (results["effect"], results["winner"], results["control"]["assigned"]) == (None, None, 0)
    promoted = caller.post(f"{address}/promote").json()
    assert (promoted["status"], promoted["winner"], promoted["promotedVersion"]) == (
        "stopped",
        "treatment",
        "1.3.0",
    )
    assert caller.get(f"templates/{template_id}").json()["version"] == "1.3.0"
    listed = caller.get("experiments", {"status": "stopped", "templateId": template_id}).json()
    assert [one["experimentId"] for one in listed["experiments"]] == [made["experimentId"]]
    assert caller.get("experiments", {"status": "running"}).json()["total"] == 0


def test_started_it_is_stopped_and_neither_changed_nor_deleted(house: House) -> None:
    caller = house.caller()
    made = describe(house, make_template(house))
    address = f"experiments/{made['experimentId']}"
    caller.post(f"{address}/start")
    for refused in (
        caller.patch(address, {"name": "x"}),
        caller.delete(address),
        caller.post(f"{address}/start"),
    ):
        problem_of(refused, 409, "EXPERIMENT_STATE_FORBIDS")
    stopped = caller.post(f"{address}/stop", {"reason": "Seen enough"}).json()
    assert (stopped["status"], stopped["winner"], stopped["endedBecause"]) == ("stopped", None, "Seen enough")
    assert caller.get(f"{address}/results").json()["evaluatedAt"] is not None
    draft = describe(house, make_template(house))
    assert caller.delete(f"experiments/{draft['experimentId']}").status_code == 204
    assert caller.get(f"experiments/{draft['experimentId']}").status_code == 404
    assert caller.get("experiments/expt_%00").status_code == 404


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "the same version twice": ({"treatment": "1.0.0"}, 422, "EXPERIMENT_INVALID"),
    "no such version": ({"treatment": "9.9.9"}, 404, "TEMPLATE_VERSION_NOT_FOUND"),
    "a share that leaves nothing": ({"treatmentShare": 100}, 422, "INVALID_REQUEST"),
    "an alpha of one": ({"alpha": 1}, 422, "INVALID_REQUEST"),
    "an unknown metric": ({"metric": "beauty"}, 422, "INVALID_REQUEST"),
    "an unknown field": ({"weights": [1, 2]}, 422, "INVALID_REQUEST"),
    "what the context says": (
        {"stickyBy": "input", "stickyExpression": "customer"},
        422,
        "EXPERIMENT_INVALID",
    ),
}


def test_an_experiment_that_repeats_others_says_so(house: House) -> None:
    caller, template_id = house.caller(), make_template(house)
    made = []
    for metric in ("success_rate", "success_rate", "duration", "success_rate"):
        made.append(describe(house, template_id, metric=metric, alpha=0.1)["experimentId"])
        caller.post(f"experiments/{made[-1]}/start")
        caller.post(f"experiments/{made[-1]}/stop", {})
    draft = describe(house, template_id, metric="duration")
    other = describe(house, make_template(house))
    listed = {one["experimentId"]: one["warnings"] for one in caller.get("experiments").json()["experiments"]}
    assert [bool(listed[one]) for one in made] == [False, True, False, True]
    assert (listed[other["experimentId"]], draft["warnings"]) == ([], listed[draft["experimentId"]])
    (third,) = caller.get(f"experiments/{made[-1]}").json()["warnings"]
    assert third["code"] == "REPEATED"
    assert "the third experiment with this workflow's success rate" in third["message"]
    assert "up to 30 %" in third["message"]
    assert "up to 15 %" in draft["warnings"][0]["message"]


def test_who_assigns_by_starter_is_told_that_few_of_them_leave_it_unwatched(house: House) -> None:
    template_id = make_template(house)
    told = describe(house, template_id, stickyBy="starter")["warnings"]
    assert [one["code"] for one in told] == ["FEW_UNITS"]
    assert "20 starters" in told[0]["message"]
    unwatched = {"maxErrorIncrease": None, "maxDurationRatio": None}
    assert describe(house, template_id, stickyBy="starter", **unwatched)["warnings"] == []
    made = describe(house, template_id, stickyBy="starter")
    enough = {arm: {"units": 20} for arm in ("control", "treatment")}
    Experiment.objects.filter(public_id=made["experimentId"]).update(results=enough)
    assert house.caller().get(f"experiments/{made['experimentId']}").json()["warnings"] == []


def test_what_cannot_be_is_refused(house: House) -> None:
    caller = house.caller()
    body = {"templateId": make_template(house), "name": "N", "control": "1.0.0", "treatment": "1.1.0"}
    for fields, status, code in REFUSED.values():
        problem_of(caller.post("experiments", body | fields), status, code)


def test_who_may_read_a_template_reads_its_experiments_and_who_may_change_it_makes_them(
    house: House, other_house: House
) -> None:
    template_id = make_template(house)
    made = describe(house, template_id)
    viewer, stranger = house.caller(Role.VIEWER), other_house.caller(Role.ADMIN)
    address = f"experiments/{made['experimentId']}"
    assert viewer.get(f"{address}/results").status_code == 200
    body = {"templateId": template_id, "name": "N", "control": "1", "treatment": "2"}
    for refused in (
        viewer.post("experiments", body),
        viewer.post(f"{address}/start"),
        viewer.delete(address),
    ):
        assert refused.status_code == 403
    for unseen in (
        stranger.get(address),
        stranger.get(f"{address}/results"),
        stranger.post(f"{address}/stop", {}),
        stranger.post("experiments", body),
    ):
        assert unseen.status_code == 404
    assert stranger.get("experiments").json()["total"] == 0
