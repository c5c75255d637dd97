"""A run as document B's stream tells it: six messages made from its events, the same wherever a client takes it up."""

from collections.abc import Callable
from typing import Any

import pytest

from executions_app.models import Execution, ExecutionLog
from executions_app.selectors import events_after
from templates_app.models import Template
from tests.driver import run_until_quiet, wake_all
from tests.factories import branch, make_template, noop, start
from tests.failing_work import new_key, unsteady_block
from tests.people import People
from tests.sockets import SocketClient, in_database, refusal_of, sign_in
from workflow_service.engine.definition import JsonObject
from workflow_service.workflows_api.live_messages import MAX_CONTEXT_BYTES, messages_of

pytestmark = pytest.mark.usefixtures("transactional_db")


def told(execution: Execution, after: int = 0, page: int = 10_000) -> list[JsonObject]:
    """Return what a client is sent that has the events up to ``after``, read in pages."""
    found: list[JsonObject] = []
    while events := events_after(execution, after, page):
        messages = list(messages_of(execution, events))
        found += [message for _, message in messages]
        after = messages[-1][0]
    return found


def of_type(messages: list[JsonObject], *types: str) -> list[Any]:
    return [message for message in messages if message["type"] in types]


def changes(messages: list[JsonObject]) -> list[tuple[Any, Any]]:
    return [(one["from_state"], one["to_state"]) for one in of_type(messages, "state_change")]


def finished(*blocks: dict[str, Any], given: dict[str, Any] | None = None, **definition: Any) -> Execution:
    return run_until_quiet(start(make_template(list(blocks), **definition), given))


def choice() -> Execution:
    ways = {"branches": [branch("size > 5", "big"), branch(None, "small")]}
    blocks = [noop("measure", {"size": 7}, conditions=ways), noop("big", {"told": True}), noop("small")]
    return finished(*blocks, given={"who": "Ada"}, endDependencies=["big", "small"])


def loop() -> Execution:
    again = {"branches": [branch("tries < 3", "draft"), branch(None, "send")]}
    return finished(
        unsteady_block("draft", new_key(), fields={"dependencies": ["start"]}),
        noop("review", dependencies=["draft"], conditions=again),
        noop("send"),
    )


def join() -> Execution:
    return finished(
        noop("split"),
        noop("left", {"a": 1}, dependencies=["split"]),
        noop("right", {"b": 2}, dependencies=["split"]),
        noop("meet"),
        gates=[{"sources": ["left", "right"], "set": {"sum": "a + b"}, "nextBlocks": ["meet"]}],
    )


def test_states_are_told_as_they_are_entered_with_the_context_of_that_moment() -> None:
    messages = told(choice())
    assert changes(messages) == [("start", "measure"), ("measure", "big"), ("big", "end")]
    contexts = [one["context"] for one in of_type(messages, "state_change")]
    assert contexts == [
        {"who": "Ada"},
        {"who": "Ada", "size": 7},
        {"who": "Ada", "size": 7, "told": True},
    ]
    (complete,) = of_type(messages, "execution_complete")
    assert (complete["status"], complete["final_context"]) == ("completed", contexts[-1])
    assert complete["duration_ms"] >= 0
    assert messages.index(complete) == len(messages) - 2, "only its own log entry comes after it"


def test_every_event_is_an_entry_of_the_audit_log() -> None:
    execution = choice()
    logs = of_type(told(execution), "log")
    assert [one["seq"] for one in logs] == list(range(1, execution.event_seq + 1))
    assert all(one["execution_id"] == execution.public_id and one["timestamp"] for one in logs)
    entered = [one["log"]["state"] for one in logs if one["log"]["event_type"] == "state_entered"]
    assert entered == ["measure", "big"]


def test_every_round_of_a_loop_is_told() -> None:
    rounds = [("draft", "review"), ("review", "draft")]
    assert changes(told(loop())) == [
        ("start", "draft"), *rounds, *rounds, ("draft", "review"), ("review", "send"), ("send", "end"),
    ]  # fmt: skip


def test_a_join_is_entered_from_all_that_meet_in_it() -> None:
    messages = told(join())
    assert set(changes(messages)) == {
        ("start", "split"), ("split", "left"), ("split", "right"), ("left", "meet"), ("right", "meet"), ("meet", "end"),
    }  # fmt: skip
    meeting = [one for one in of_type(messages, "state_change") if one["to_state"] == "meet"]
    assert [one["context"] for one in meeting] == [{"a": 1, "b": 2, "sum": 3}] * 2


@pytest.mark.parametrize("run", [choice, loop, join], ids=["choice", "loop", "join"])
def test_wherever_a_client_takes_it_up_it_is_told_the_rest_alike(run: Callable[[], Execution]) -> None:
    execution = run()
    whole = told(execution)
    assert told(execution, page=1) == whole
    assert told(execution, page=3) == whole
    for seq in range(1, execution.event_seq):
        behind = [one.get("seq") for one in whole].index(seq)
        assert told(execution, after=seq) == whole[behind + 1 :]


def test_retries_and_errors_are_told_with_their_reasons() -> None:
    execution = run_until_quiet(start(make_template([unsteady_block("load", new_key(), fails=9)])))
    while execution.status not in ("FAILED", "COMPLETED"):
        wake_all(execution)
        execution = run_until_quiet(execution)
    messages = told(execution)
    retry, abort = of_type(messages, "recovery_action")
    assert (retry["error"], retry["strategy"], retry["action"]) == ("NETWORK_ERROR", "retry", "retry")
    assert (retry["state"], retry["suggested_by"]) == ("load", "rules")
    assert (retry["reasoning"], abort["strategy"]) == ("NETWORK_ERROR: retry 1 of 1", "abort")
    of_state, of_run = of_type(messages, "execution_error")
    assert (of_state["state"], of_state["ended"], of_run["state"], of_run["ended"]) == (
        "load", False, "load", True,
    )  # fmt: skip
    assert of_state["error"]["type"] == of_run["error"]["type"] == "NETWORK_ERROR"
    assert changes(messages) == [("start", "load")]


def test_a_large_context_is_not_sent_with_every_state() -> None:
    parts = dict.fromkeys(("first", "second"), "x" * (MAX_CONTEXT_BYTES // 2))
    execution = finished(noop("a", parts), noop("b", dependencies=["a"]))
    messages = told(execution)
    entering = {one["to_state"]: one["context"] for one in of_type(messages, "state_change")}
    assert entering == {"a": {}, "b": None, "end": None}
    assert of_type(messages, "execution_complete")[0]["final_context"] == parts


async def test_a_run_is_told_in_the_words_of_its_door_or_of_the_view(
    people: People, sockets: Callable[..., SocketClient]
) -> None:
    def begun() -> Execution:
        sign_in(people.developer)
        template = make_template([noop("a", {"n": 1})], workspace=people.workspace)
        execution = run_until_quiet(start(template))
        Execution.objects.filter(pk=execution.pk).update(door=Template.Door.B)
        return execution

    execution = await in_database(begun)
    whole = await in_database(told, execution)
    path = f"/ws/executions/{execution.public_id}"
    as_b = sockets(path, people.developer)
    await as_b.connect()
    assert await as_b.messages(len(whole)) == whole
    as_a = sockets(f"{path}?view=a", people.developer)
    await as_a.connect()
    assert [one["type"] for one in await as_a.messages(2)] == ["execution_started", "block_started"]
    with_lines = sockets(f"{path}?view=b&after={execution.event_seq}&after_log=0", people.developer)
    await with_lines.connect()
    count = await in_database(ExecutionLog.objects.filter(execution_id=execution.pk).count)
    lines = await with_lines.messages(count)
    assert {(line["type"], line["log"]["event_type"]) for line in lines} == {("log", "log_line")}
    assert await refusal_of(sockets(f"{path}?view=c", people.developer)) == 4400
