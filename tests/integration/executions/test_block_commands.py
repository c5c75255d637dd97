"""What operators do about single blocks: the work of a block that is skipped is not done, whatever became of it."""

import pytest

from executions_app.models import BlockOutput
from executions_app.services.blocks import skip_block
from executions_app.services.control import cancel_execution
from tests.factories import make_template, start
from tests.restarting import ADA, failing, finished, ran, work

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
