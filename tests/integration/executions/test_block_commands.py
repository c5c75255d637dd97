"""What operators do about single blocks: the work of a block that is skipped is not done, whatever became of it."""

import pytest

from executions_app.models import BlockOutput
from executions_app.services.blocks import skip_block
from executions_app.services.control import cancel_execution
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, start
from tests.restarting import ADA, failing, finished, ran, statuses, work

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    failing.clear()


def test_a_cancelled_block_that_is_skipped_does_not_run() -> None:
    execution = start(make_template([work("charge"), work("after", "charge")]))
    cancel_execution(execution.pk, ADA)
    skip_block(execution.pk, "charge", ADA, {"n": 5})
    finished(execution)
    assert ran == ["after"]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="charge").value == {"n": 5}


def test_a_block_whose_way_on_failed_may_be_skipped() -> None:
    ways = {"branches": [branch("chosen == 1", "two")]}
    execution = start(make_template([work("one", conditions=ways, recovery={"escalate": {}}), work("two")]))
    run_until_quiet(execution)
    assert statuses(execution)["one"] == "WAITING"
    skip_block(execution.pk, "one", ADA, {"chosen": 1})
    finished(execution)
    assert ran == ["one", "two"]
    assert BlockOutput.objects.get(execution_id=execution.pk, block_id="one").value == {"chosen": 1}
