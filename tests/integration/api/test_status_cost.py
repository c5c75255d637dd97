"""What a look at a run costs: clients ask for it again and again, of runs with a long history too."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions_app.models import ExecutionEvent
from executions_app.services.control import create_recovery_point
from tests.driver import run_until_quiet
from tests.factories import branch, make_template, noop, start
from tests.house import House
from tests.restarting import ADA
from workflow_service.accounts.models import Role

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("view", ["a", "b"])
def test_the_cost_of_a_status_does_not_grow_with_the_events_of_the_run(house: House, view: str) -> None:
    caller = house.caller(Role.VIEWER)

    def look(rounds: int) -> list[str]:
        """Return the statements that reading a run of so many rounds, and a recovery point, takes."""
        back = {"branches": [branch(f"n < {rounds}", "count"), branch(None, "report")]}
        blocks = [
            noop("begin", {"n": 0}),
            noop("count", {"n": "${n + 1}"}, dependencies=["begin"], conditions=back),
            noop("report", humanInLoop={"required": True}),
        ]
        execution = run_until_quiet(start(make_template(blocks, workspace=house.workspace)))
        create_recovery_point(execution.pk, ADA)
        assert ExecutionEvent.objects.filter(execution_id=execution.pk).count() > 3 * rounds
        with CaptureQueriesContext(connection) as captured:
            answer = caller.get(f"executions/{execution.public_id}", {"view": view})
        assert answer.status_code == 200, answer.content
        if view == "a":
            assert len(answer.json()["recoveryPoints"]) == 2
        return [query["sql"] for query in captured]

    few, many = look(2), look(40)
    assert len(few) == len(many) <= 15
    reads_history = [sql for sql in many if ExecutionEvent._meta.db_table in sql]
    assert reads_history == []
