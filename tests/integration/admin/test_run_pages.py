"""Pages of runs: restarts, blocks with their rounds and items, commands on blocks, and the log that is searched."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from executions_app.models import BlockExecution, Execution, ExecutionEvent, ExecutionLog
from tests.consistency import assert_consistent
from tests.driver import run_until_quiet
from tests.factories import branch, make_agent, make_template, make_user, noop, start
from tests.people import People, make_people, run_asking
from tests.restarting import failing, ran, work
from workflow_service.accounts.models import Role, User


@pytest.fixture
def people(transactional_db: None) -> People:
    ran.clear()
    failing.clear()
    return make_people()


@pytest.fixture
def operator(people: People) -> User:
    return make_user(people.workspace, Role.OPERATOR, username="olga", is_staff=True)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def path_of(execution: Execution, *parts: str) -> str:
    return "/".join(["/admin/executions_app/execution", str(execution.pk), *parts, ""])


def words(response: Any) -> str:
    """Return what a page says, without its markup."""
    page = re.sub(r"<(script|style).*?</\1>", " ", response.content.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def failed_run(people: People) -> Execution:
    """Return a run whose middle block failed for good."""
    failing.add("middle")
    template = make_template(
        [work("first"), work("middle", "first"), work("last", "middle")], workspace=people.workspace
    )
    return run_until_quiet(start(template))


def block(execution: Execution, block_id: str) -> BlockExecution:
    return BlockExecution.objects.get(execution=execution, block_id=block_id, superseded=False)


def test_a_failed_run_is_restarted_from_what_failed(people: People, operator: User) -> None:
    execution = failed_run(people)
    client = signed_in(operator)
    asked = client.get(path_of(execution, "restart"))
    assert "What failed or was cancelled" in words(asked)
    assert ran == ["first", "middle"], "looking restarts nothing"
    failing.clear()
    done = client.post(path_of(execution, "restart"), {"start": "", "reason": "mended"}, follow=True)
    assert "Restarted. middle and last run again." in words(done)
    assert run_until_quiet(execution).status == "COMPLETED"
    assert ran == ["first", "middle", "middle", "last"]
    event = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_restarted")
    assert (event.data["actor"], event.data["reason"]) == ("olga", "mended")
    assert_consistent(execution)


def test_a_run_is_restarted_from_a_block_without_its_outputs(people: People, operator: User) -> None:
    execution = failed_run(people)
    failing.clear()
    form = {"start": "block:first", "reset_state": "on"}
    done = signed_in(operator).post(path_of(execution, "restart"), form, follow=True)
    assert "first, middle and last run again." in words(done)
    event = ExecutionEvent.objects.get(execution_id=execution.pk, type="execution_restarted")
    assert (event.data["resetState"], event.data["preserveContext"]) == (True, False)


def test_a_refused_restart_says_why_and_keeps_what_was_typed(people: People, operator: User) -> None:
    execution = run_until_quiet(start(make_template([work("only")], workspace=people.workspace)))
    refused = signed_in(operator).post(
        path_of(execution, "restart"), {"start": "", "reason": "again, please"}
    )
    assert "failed or was cancelled; name a block" in words(refused)
    assert "again, please" in refused.content.decode()
    unknown = signed_in(operator).post(path_of(execution, "restart"), {"start": "block:nowhere"})
    assert "is not one of the available choices" in words(unknown)


def test_a_run_under_way_is_restarted_by_force_and_by_operators_alone(people: People, operator: User) -> None:
    execution = run_asking(
        people, work("first"), noop("load", dependencies=["first"], humanInLoop={"required": True})
    )
    page = signed_in(operator).get(path_of(execution, "restart"))
    assert "Force the restart" in words(page)
    unforced = signed_in(operator).post(path_of(execution, "restart"), {"start": "block:first"})
    assert "pause or cancel it first" in words(unforced), "nobody forces what they were not told of"
    owner = User.objects.get(pk=execution.created_by_id)
    owner.is_staff = True
    owner.save()
    form = {"start": "block:first", "force": "yes"}
    denied = signed_in(owner).post(path_of(execution, "restart"), form)
    assert "has no permission 'execution:override'" in words(denied)
    done = signed_in(operator).post(path_of(execution, "restart"), form, follow=True)
    assert "Restarted." in words(done)
    assert run_until_quiet(execution).generation == 2


def test_who_may_not_control_a_run_restarts_nothing(people: People) -> None:
    execution = failed_run(people)
    denied = signed_in(people.alice).post(path_of(execution, "restart"), {"start": ""})
    assert "has no permission 'execution:control'" in words(denied)
    for pages in (("restart",), ("block", "middle"), ("block", "middle", "skip")):
        assert signed_in(people.stranger).get(path_of(execution, *pages)).status_code == 404
        assert signed_in(people.stranger).post(path_of(execution, *pages)).status_code in (404, 405)
    assert Client().get(path_of(execution, "restart")).status_code == 302
    assert assert_consistent(execution).generation == 1


def test_a_failed_block_is_retried_skipped_and_reassigned(people: People, operator: User) -> None:
    client = signed_in(operator)
    execution = failed_run(people)
    page = words(client.get(path_of(execution, "block", "middle")))
    assert "Retry… Reassign… Skip the block… Restart from here…" in page
    assert "middle is to fail" in page
    again = client.post(path_of(execution, "block", "middle", "retry"), {"reason": ""}, follow=True)
    assert "Retried: it is tried again." in words(again)
    assert run_until_quiet(execution).status == "FAILED"

    make_agent(people.workspace, "other")
    form = {"agent": "other", "reason": "the first one is tired"}
    given = client.post(path_of(execution, "block", "middle", "reassign"), form, follow=True)
    assert "Reassigned." in words(given)
    run_until_quiet(execution)
    assert block(execution, "middle").agent_id == "other"

    wrong = client.post(path_of(execution, "block", "middle", "skip"), {"output": "[1"})
    assert wrong.status_code == 200
    assert "[1" in wrong.content.decode()
    assert 'aria-invalid="true"' in wrong.content.decode()
    no_object = client.post(path_of(execution, "block", "middle", "skip"), {"output": "[1]"})
    assert "It must be a JSON object" in words(no_object)
    assert run_until_quiet(execution).status == "FAILED", "what is refused changes nothing"
    skipped = client.post(path_of(execution, "block", "middle", "skip"), {"output": '{"n": 1}'}, follow=True)
    assert "Skipped: the run goes on without it." in words(skipped)
    assert run_until_quiet(execution).status == "COMPLETED"
    assert "What was done about it" not in words(client.get(path_of(execution, "block", "last")))
    assert "What was done about it" in words(client.get(path_of(execution, "block", "middle")))
    assert_consistent(execution)


def test_commands_on_blocks_are_for_those_who_override(people: People, operator: User) -> None:
    execution = failed_run(people)
    for name in ("retry", "reassign", "skip"):
        page = signed_in(people.alice).get(path_of(execution, "block", "middle", name))
        assert "Only operators and admins give this command." in words(page)
        denied = signed_in(people.alice).post(
            path_of(execution, "block", "middle", name), {"agent": "worker", "output": ""}
        )
        assert denied.status_code == 200
    assert "Skip the block…" not in words(signed_in(people.alice).get(path_of(execution, "block", "middle")))
    assert "Skip the block…" not in words(signed_in(operator).get(path_of(execution, "block", "first")))
    refused = signed_in(operator).post(path_of(execution, "block", "first", "retry"))
    assert "restart the run from it" in words(refused)
    unreached = signed_in(operator).post(path_of(execution, "block", "last", "skip"))
    assert "has not been reached" in words(unreached)
    for pages in (("block", "nowhere"), ("block", "middle", "burn")):
        assert signed_in(operator).get(path_of(execution, *pages)).status_code == 404
    assert assert_consistent(execution).generation == 1


def test_a_block_of_a_loop_shows_its_rounds_and_the_run_its_last(people: People) -> None:
    loop = {"branches": [branch("n < 3", "count"), branch(None, "done")]}
    blocks = [
        noop("begin", {"n": 0}),
        noop("count", {"n": "${n + 1}"}, dependencies=["begin"], conditions=loop),
        noop("done"),
    ]
    execution = run_until_quiet(start(make_template(blocks, workspace=people.workspace)))
    rounds = BlockExecution.objects.filter(execution=execution, block_id="count").count()
    assert rounds > 1
    client = signed_in(people.alice)
    page = client.get(path_of(execution, "change")).content.decode()
    assert page.count('id="block-count"') == 1
    assert f"round {rounds}" in page
    assert f"{rounds - 1} earlier round" in page
    listed = words(client.get(path_of(execution, "block", "count")))
    assert "Round 1" in listed
    assert f"Round {rounds}" in listed


def test_a_map_shows_its_items_by_page_and_by_status(people: People) -> None:
    blocks = [
        noop("list", {"numbers": list(range(60))}),
        noop("each", "${item * 2}", dependencies=["list"], forEach="numbers"),
    ]
    execution = run_until_quiet(start(make_template(blocks, workspace=people.workspace)))
    client = signed_in(people.alice)
    assert "60 of 60 items" in words(client.get(path_of(execution, "change")))
    first = words(client.get(path_of(execution, "block", "each")))
    assert "61 found" in first
    assert "Page 1 of 2" in first
    assert "Item 1 " in first
    second = words(client.get(path_of(execution, "block", "each") + "?page=2&status=COMPLETED"))
    assert "Item 60 " in second
    none = words(client.get(path_of(execution, "block", "each") + "?status=FAILED"))
    assert "None of its runs fits." in none
    assert client.get(path_of(execution, "block", "each") + "?status=%00&page=no").status_code == 200


def test_the_log_is_searched_filtered_and_paged(people: People) -> None:
    execution = run_until_quiet(start(make_template([noop("one"), noop("two")], workspace=people.workspace)))
    ExecutionLog.objects.filter(execution_id=execution.pk).delete()
    now = execution.started_at
    ExecutionLog.objects.bulk_create(
        ExecutionLog(
            execution_id=execution.pk,
            block_id="one" if number % 2 else "two",
            level=40 if number == 7 else 20,
            message=f"line {number:03d} of <it>",
            created_at=now,
        )
        for number in range(150)
    )
    client = signed_in(people.alice)

    def lines(query: str) -> list[int]:
        page = client.get(path_of(execution, "change") + query)
        assert page.status_code == 200
        return [int(found) for found in re.findall(r"line (\d{3}) of &lt;it&gt;", page.content.decode())]

    assert lines("") == list(range(149, 49, -1))
    page = client.get(path_of(execution, "change")).content.decode()
    older = re.search(r'href="\?(before=\d+)#logs"', page)
    assert older is not None
    assert lines(f"?{older[1]}") == list(range(49, -1, -1))
    assert lines("?log=LINE+00") == list(range(9, -1, -1))
    assert lines("?level=error") == [7]
    assert lines("?block=one&log=00") == [9, 7, 5, 3, 1]
    for nonsense in ("?level=loud", "?before=x", "?before=²", "?block="):
        assert lines(nonsense) == lines("")
    assert lines("?log=%00nothing") == []
    assert "No log line fits." in words(client.get(path_of(execution, "change") + "?log=nothing"))
    live = client.get(path_of(execution, "live") + "?level=error").content.decode()
    assert "line 007" in live
    assert "line 008" not in live


def test_a_run_s_page_shows_the_questions_that_concern_its_reader(people: People) -> None:
    questions = [
        noop(f"load_{number}", humanInLoop={"required": True, "message": f"Load {number}?"})
        for number in range(7)
    ]
    private = {"required": True, "message": "Between us?", "assignees": ["user:bob"]}
    execution = run_asking(people, *questions, noop("secret", humanInLoop=private))
    alice = words(signed_in(people.alice).get(path_of(execution, "change")))
    assert alice.count("Open the approval") == 5
    assert "2 more questions of this run" in alice
    assert "1 question of this run waits for other people." in alice
    assert "secret waits for" not in alice
    admin = words(signed_in(people.admin).get(path_of(execution, "live")))
    assert "3 more questions of this run" in admin
    assert "for other people" not in admin
