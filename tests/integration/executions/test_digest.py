"""Ended runs are handed out once each, again after a restart, and one that cannot be taken keeps no other from it."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from django.db import OperationalError, connection

from executions_app import digest
from executions_app.digest import EndedRun, digest_ended_runs, register_digester
from executions_app.models import Execution
from tests.driver import run_until_quiet
from tests.factories import make_template, noop, start
from tests.restarting import restart

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    registered, digest._digesters[:] = list(digest._digesters), []
    digest_ended_runs()
    yield
    digest._digesters[:] = registered


@pytest.fixture
def told() -> list[EndedRun]:
    told: list[EndedRun] = []
    register_digester(told.extend)
    return told


def test_a_run_is_handed_out_once_when_it_has_ended(told: list[EndedRun]) -> None:
    execution = start(make_template([noop("a")]))
    assert digest_ended_runs() == 0
    run_until_quiet(execution)
    assert [digest_ended_runs(), digest_ended_runs()] == [1, 0]
    (run,) = told
    assert (run.id, run.status, run.generation, run.before) == (execution.pk, "COMPLETED", 1, 0)


def test_a_restarted_run_is_handed_out_again(told: list[EndedRun]) -> None:
    execution = run_until_quiet(start(make_template([noop("a"), noop("b", dependencies=["a"])])))
    digest_ended_runs()
    restart(execution, from_block="b")
    assert digest_ended_runs() == 0
    run_until_quiet(execution)
    assert digest_ended_runs() == 1
    assert [(run.generation, run.before) for run in told] == [(1, 0), (2, 1)]


def test_no_more_than_the_limit_and_the_oldest_first(told: list[EndedRun]) -> None:
    runs = [run_until_quiet(start(make_template([noop("a")]))).pk for _ in range(3)]
    assert [digest_ended_runs(2), digest_ended_runs(2)] == [2, 1]
    assert [run.id for run in told] == runs


def test_a_backlog_is_gone_on_with_while_there_is_time(told: list[EndedRun]) -> None:
    runs = [run_until_quiet(start(make_template([noop("a")]))).pk for _ in range(3)]
    assert digest.catch_up(seconds=0.0, at_once=1) == 1
    assert digest.catch_up(seconds=3600.0, at_once=1) == 2
    assert [run.id for run in told] == runs


def refusing(run_id: int) -> Callable[[Sequence[EndedRun]], None]:
    def refuse(runs: Sequence[EndedRun]) -> None:
        if run_id in [run.id for run in runs]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")

    return refuse


def test_a_run_that_cannot_be_taken_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    first, second = (run_until_quiet(start(make_template([noop("a")]))) for _ in range(2))
    taken: list[EndedRun] = []
    refuse = refusing(first.pk)

    def take(runs: Sequence[EndedRun]) -> None:
        refuse(runs)
        taken.extend(runs)

    register_digester(take)
    digest_ended_runs()
    assert [run.id for run in taken] == [second.pk]
    assert f"execution {first.pk} could not be digested" in caplog.text


def test_runs_are_taken_again_where_two_sweepers_locked_each_other_up(told: list[EndedRun]) -> None:
    execution = run_until_quiet(start(make_template([noop("a")])))

    def lock_up(runs: Sequence[EndedRun]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE deadlock_detected; END $$")

    register_digester(lock_up)
    with pytest.raises(OperationalError):
        digest_ended_runs()
    digest._digesters.remove(lock_up)
    told.clear()
    assert digest_ended_runs() == 1
    assert [run.id for run in told] == [execution.pk]


def test_nothing_is_noted_where_the_process_dies(
    monkeypatch: pytest.MonkeyPatch, told: list[EndedRun]
) -> None:
    run_until_quiet(start(make_template([noop("a")])))

    class Dead(BaseException):
        pass

    def die(runs: Sequence[EndedRun]) -> None:
        raise Dead

    register_digester(die)
    with pytest.raises(Dead):
        digest_ended_runs()
    digest._digesters.remove(die)
    assert digest_ended_runs() == 1
    assert Execution.objects.get(pk=told[-1].id).digested_generation == 1
