"""What helped against which errors, as the API tells it: by fingerprint and by class, of one's own workspace."""

from datetime import timedelta

import pytest
from django.utils import timezone

from executions_app.models import RecoveryPattern
from executions_app.recovery_patterns import forget_patterns
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet, wake_all
from tests.factories import make_template, start
from tests.failing_work import new_key, unsteady_block
from tests.house import House


def fail_once(house: House, error: str = "NETWORK_ERROR") -> None:
    """Run a block that fails once and is tried again."""
    block = unsteady_block("a", new_key(), fails=1, error=error, fields={"optional": True})
    execution = run_until_quiet(start(make_template([block], workspace=house.workspace)))
    wake_all(execution)
    run_until_quiet(execution)


def test_errors_that_are_alike_are_one_pattern(house: House, developer: Caller, other_house: House) -> None:
    for _ in range(3):
        fail_once(house)
    fail_once(house, "VALIDATION_ERROR")
    answer = developer.get("recovery/patterns").json()
    assert (answer["total"], answer["limit"], answer["offset"]) == (2, 20, 0)
    newest, older = answer["patterns"]
    assert (newest["errorClass"], older["errorClass"]) == ("VALIDATION", "TRANSIENT")
    assert older["example"] == "failure 1"
    (retry,) = older["strategies"]
    assert (retry["strategy"], retry["succeeded"], retry["failed"]) == ("retry", 3, 0)
    assert retry["expectedRate"] == pytest.approx(100 * 10 / 13, abs=0.1)
    assert 0 < retry["lowestRate"] < retry["expectedRate"] < retry["highestRate"] < 100
    assert other_house.caller().get("recovery/patterns").json()["total"] == 0


def test_they_are_looked_for_told_by_class_and_forgotten(house: House, developer: Caller) -> None:
    fail_once(house)
    fail_once(house, "VALIDATION_ERROR")
    found = developer.get("recovery/patterns", {"errorClass": "TRANSIENT"}).json()["patterns"]
    assert [one["errorType"] for one in found] == ["NETWORK_ERROR"]
    name = found[0]["fingerprint"]
    assert developer.get("recovery/patterns", {"fingerprint": name, "limit": 1}).json()["total"] == 1
    problem_of(developer.get("recovery/patterns", {"errorClass": "ODD"}), 400, "INVALID_QUERY")
    classes = developer.get("recovery/strategies").json()["classes"]
    assert [one["errorClass"] for one in classes] == ["TRANSIENT", "VALIDATION"]
    assert (classes[0]["strategies"][0]["strategy"], classes[0]["strategies"][0]["succeeded"]) == ("retry", 1)
    old = RecoveryPattern.objects.filter(error_class="TRANSIENT")
    old.update(last_seen_at=timezone.now() - timedelta(days=91))
    forget_patterns()
    assert list(RecoveryPattern.objects.values_list("error_class", flat=True)) == ["VALIDATION"]
