"""Sub-workflows: one child for each wait whatever dies, and what its end means for its parent."""

from typing import Any
from uuid import uuid4

import pytest

from executions_app import parking
from executions_app.claiming import claim_block
from executions_app.errors import TemplateNotRunnable
from executions_app.finishing import Result, finish_block
from executions_app.models import BlockExecution, BlockOutput, Execution, ExecutionEvent
from executions_app.progress import Claim
from executions_app.results import FINAL_CONTEXT, final_context
from executions_app.running import work_on, write_outcome
from executions_app.selectors import children_of
from executions_app.services.signals import send_signal
from executions_app.sweeper import sweep
from executions_app.transaction import EngineTransaction, command_transaction
from executions_app.worker_identity import worker_id
from templates_app.models import Template
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet
from tests.factories import event_types, make_template, make_workspace, noop, start, statuses
from tests.waiting import assert_waits, go_on, let_time_pass, wait_block, waiting_row
from workflow_service.engine.states import BlockStatus
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

BREAKS = {
    "blockId": "breaks",
    "toolType": "USE_CASE",
    "configuration": {"useCase": "json.select", "input": {"value": {}, "paths": {"a": "gone"}}},
    "retryPolicy": {"maxRetries": 0},
    "recovery": {"strategies": ["retry"]},
}


def calls(template: Template, block_id: str = "call", /, given: Any = None, **fields: Any) -> dict[str, Any]:
    configuration = {"template": template.public_id, "input": given or {}}
    return {"blockId": block_id, "toolType": "SUBWORKFLOW", "configuration": configuration, **fields}


def parent_of(child: Template, *blocks: dict[str, Any], **fields: Any) -> Template:
    return make_template([calls(child, **fields), *blocks], workspace=child.workspace)


def child_of(execution: Execution) -> Execution:
    return children_of(execution).get()


def claim_one(execution: Execution) -> Claim:
    claim = claim_block(execution.pk, queued_blocks(execution)[0], worker_id()).claim
    assert claim is not None
    return claim


def output_of(execution: Execution, block_id: str = "call") -> Any:
    return BlockOutput.objects.get(execution_id=execution.pk, block_id=block_id).value


def test_a_child_s_context_is_the_output_of_the_block_that_called_it() -> None:
    child = make_template(
        [
            noop("double", {"twice": "${workflow.input.n * 2}"}),
            noop("name", {"who": "Ada"}, dependencies=["double"]),
        ]
    )
    after = noop("after", {"got": "${twice}"}, dependencies=["call"])
    execution = start(parent_of(child, after, given={"n": "${workflow.input.n}"}), {"n": 4})
    run_until_quiet(execution)
    row = waiting_row(execution, "call")
    inner = child_of(execution)
    assert (row.waits_for, row.wait_key) == ("child", inner.public_id)
    assert (inner.parent_id, inner.parent_block_execution_id, inner.depth) == (execution.pk, row.pk, 1)
    assert (inner.workspace_id, inner.created_by_id) == (execution.workspace_id, execution.created_by_id)
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {"twice": 8, "who": "Ada"}
    assert output_of(execution, "after") == {"got": 8}
    assert_consistent(execution)
    assert_consistent(inner)
    waiting = ExecutionEvent.objects.get(execution_id=execution.pk, type="block_waiting")
    assert waiting.data == {"waitsFor": "child", "childExecutionId": inner.public_id}
    started = ExecutionEvent.objects.get(execution_id=inner.pk, type="execution_started")
    assert started.data["parentExecutionId"] == execution.public_id


def test_a_child_that_fails_fails_the_block_with_its_reason() -> None:
    execution = start(parent_of(make_template([BREAKS])))
    run_until_quiet(execution)
    inner = child_of(execution)
    execution = go_on(execution)
    assert execution.status == "FAILED"
    error = BlockExecution.objects.get(execution=execution, block_id="call").error
    assert error is not None
    assert error["type"] == Execution.objects.get(pk=inner.pk).error["type"]  # type: ignore[index]
    assert inner.public_id in error["message"]
    assert error["childExecutionId"] == inner.public_id
    assert_consistent(execution)


def test_a_child_s_failure_may_be_handled() -> None:
    child = make_template([BREAKS])
    execution = start(parent_of(child, noop("mend"), onError=["mend"]))
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert statuses(execution) == {"call": "FAILED", "mend": "COMPLETED"}


def test_a_block_may_be_done_without_its_child() -> None:
    fields = {"optional": True, "defaultOutput": {"late": True}}
    execution = go_on(start(parent_of(make_template([BREAKS]), **fields)))
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {"late": True}
    assert_consistent(execution)


def test_a_child_whose_context_is_too_large_fails_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_config(), "max_output_bytes", 2_000)
    blocks = [noop(f"b{number}", {f"k{number}": "x" * 900}) for number in range(4)]
    execution = go_on(start(parent_of(make_template(blocks))))
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert "larger than an output may be" in execution.error["message"]


def test_a_context_that_is_too_large_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = run_until_quiet(start(make_template([noop("large", {"text": "ü" * 600})])))
    asked: list[str] = []
    run = EngineTransaction.run

    def listen(self: EngineTransaction, statement: Any, parameters: Any = ()) -> Any:
        asked.append(statement)
        return run(self, statement, parameters)

    monkeypatch.setattr(EngineTransaction, "run", listen)
    with command_transaction() as tx:
        monkeypatch.setattr(get_config(), "max_output_bytes", 1_200)
        assert final_context(tx, execution.pk) is None, "they are bytes, not characters"
        assert FINAL_CONTEXT not in asked
        monkeypatch.setattr(get_config(), "max_output_bytes", 1_300)
        assert final_context(tx, execution.pk) == {"text": "ü" * 600}


def test_a_child_of_which_nothing_runs_ends_within_its_start() -> None:
    child = make_template([noop("never", conditions={"expression": "False"})])
    execution = go_on(start(parent_of(child)))
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {}
    assert_consistent(execution)


def test_children_may_have_children_and_no_end_of_them() -> None:
    first = make_template([noop("a")])
    second = make_template([calls(first)], workspace=first.workspace)
    version = first.current_version
    assert version is not None
    version.definition["blocks"] = [calls(second)]
    version.save()
    execution = go_on(start(first))
    assert execution.status == "FAILED"
    runs = Execution.objects.filter(workspace=first.workspace)
    assert list(runs.order_by("depth").values_list("depth", flat=True)) == list(range(11))
    assert execution.error is not None
    assert "nested at most 10 deep" in execution.error["message"]


def test_a_worker_that_dies_while_it_starts_a_child_leaves_none_behind() -> None:
    execution = start(parent_of(make_template([noop("a")])))
    first = claim_one(execution)
    outcome = work_on(first)
    assert not children_of(execution).exists()
    # It dies here; another worker starts the child, and the first one comes back from the dead.
    parking.take_back(execution.pk, [(first.block_execution_id, first.fence)])
    second = claim_one(execution)
    assert write_outcome(second, work_on(second), None).accepted
    assert not write_outcome(first, outcome, None).accepted
    assert children_of(execution).count() == 1
    assert go_on(execution).status == "COMPLETED"


def test_a_crash_in_the_transaction_that_starts_the_child_leaves_the_block_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = start(parent_of(make_template([noop("a")])))
    for _ in range(2):
        claim = claim_one(execution)
        with monkeypatch.context() as patch:
            patch.setattr(parking, "conclude_locked", _dies)
            with pytest.raises(SystemExit):
                write_outcome(claim, work_on(claim), None)
        assert not children_of(execution).exists()
        parking.take_back(execution.pk, [(claim.block_execution_id, claim.fence)])
    execution = go_on(execution)
    assert execution.status == "COMPLETED"
    assert children_of(execution).count() == 1


def _dies(*_: object) -> None:
    raise SystemExit


def test_an_end_that_nobody_told_the_parent_is_told_by_the_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(parent_of(make_template([noop("a")])))
    run_until_quiet(execution)
    inner = child_of(execution)
    with monkeypatch.context() as patch:
        patch.setattr("executions_app.finishing.report_to_parent", lambda *_: None)
        patch.setattr("executions_app.aftermath.end_waiting_block", lambda _: None)
        run_until_quiet(inner)
    assert_waits(execution, "call")
    sweep()
    execution = go_on(execution)
    assert execution.status == "COMPLETED"


def test_a_child_s_end_is_settled_even_if_the_worker_dies_after_its_commit() -> None:
    execution = start(parent_of(make_template([noop("a")])))
    run_until_quiet(execution)
    claim = claim_one(child_of(execution))
    finish_block(claim, Result(BlockStatus.COMPLETED, output={"a": 1}))
    assert statuses(execution) == {"call": "COMPLETED"}
    execution.refresh_from_db()
    assert execution.status == "RUNNING"
    BlockExecution.objects.filter(execution=execution).update(finished_at="2020-01-01T00:00:00Z")
    sweep()
    execution.refresh_from_db()
    assert execution.status == "COMPLETED"
    assert output_of(execution) == {"a": 1}


def test_a_child_that_a_paused_run_starts_is_paused_too() -> None:
    execution = start(parent_of(make_template([noop("a")])))
    claim = claim_one(execution)
    Execution.objects.filter(pk=execution.pk).update(status="PAUSED")
    write_outcome(claim, work_on(claim), None)
    inner = child_of(execution)
    assert inner.status == "PAUSED"
    assert statuses(inner) == {"a": "READY"}
    assert "execution_paused" in event_types(inner)
    assert_consistent(inner)


def test_a_child_that_takes_too_long_fails_its_block() -> None:
    child = make_template([wait_block(signal="never")])
    execution = start(parent_of(child, timeout=5_000))
    go_on(execution)
    execution = let_time_pass(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "TIMEOUT_ERROR"


def test_what_a_failing_run_started_is_stopped_however_deep() -> None:
    innermost = make_template([wait_block(signal="never")])
    child = make_template([calls(innermost), noop("b")], workspace=innermost.workspace)
    gate = wait_block("gate", signal="go")
    breaks = BREAKS | {"dependencies": ["gate"]}
    execution = go_on(start(parent_of(child, gate, breaks)))
    inner = child_of(execution)
    assert_waits(inner, "call")
    assert_waits(child_of(inner))
    send_signal(execution=execution, name="go", payload=None)
    execution = go_on(execution)
    assert execution.status == "FAILED"
    assert statuses(execution) == {"call": "CANCELLED", "gate": "COMPLETED", "breaks": "FAILED"}
    sweep()
    sweep()
    for run in (child_of(execution), child_of(inner)):
        assert run.status in ("FAILED", "CANCELLED")
        assert set(statuses(run).values()) <= {"CANCELLED", "COMPLETED"}
        assert_consistent(run)


def test_a_child_whose_block_timed_out_is_stopped() -> None:
    child = make_template([wait_block(signal="never")])
    execution = let_time_pass(go_on(start(parent_of(child, timeout=5_000))))
    assert execution.status == "FAILED"
    sweep()
    assert child_of(execution).status in ("FAILED", "CANCELLED")


@pytest.mark.parametrize(
    ("change", "error_type", "said"),
    [
        ({"status": "archived"}, "CONFIGURATION_ERROR", "archived"),
        ({"status": "draft"}, "CONFIGURATION_ERROR", "draft"),
        ({"public_id": None}, "RESOURCE_NOT_FOUND", "there is no template"),
        ({"workspace": None}, "RESOURCE_NOT_FOUND", "there is no template"),
    ],
    ids=["archived", "draft", "gone", "of another workspace"],
)
def test_a_template_that_cannot_be_started_fails_the_block(
    change: dict[str, Any], error_type: str, said: str
) -> None:
    child = make_template([noop("a")])
    execution = start(parent_of(child))
    if "public_id" in change:
        change = {"public_id": f"tpl_{uuid4().hex[:12]}"}
    if "workspace" in change:
        change = {"workspace": make_workspace()}
    Template.objects.filter(pk=child.pk).update(**change)
    execution = run_until_quiet(execution)
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == error_type
    assert said in execution.error["message"]


def test_an_input_that_does_not_fit_the_child_fails_the_block() -> None:
    schema = {"type": "object", "required": ["n"]}
    execution = run_until_quiet(start(parent_of(make_template([noop("a")], inputSchema=schema))))
    assert execution.status == "FAILED"
    assert execution.error is not None
    assert execution.error["type"] == "VALIDATION_ERROR"
    assert "'n'" in str(execution.error["details"])


@pytest.mark.parametrize("version", ["1.0.0", 1, "1", "${workflow.input.version}"])
def test_a_version_may_be_named(version: Any) -> None:
    child = make_template([noop("a")])
    block = calls(child)
    block["configuration"]["version"] = version
    template = make_template([block], workspace=child.workspace)
    assert go_on(start(template, {"version": "1.0.0"})).status == "COMPLETED"
    if "$" in str(version):
        failed = run_until_quiet(start(template, {"version": "9.9.9"}))
        assert failed.error is not None
        assert failed.error["type"] == "RESOURCE_NOT_FOUND"


def test_a_run_does_not_start_whose_sub_workflows_cannot() -> None:
    child = make_template([noop("a")])
    template = parent_of(child)
    Template.objects.filter(pk=child.pk).update(status="archived")
    with pytest.raises(TemplateNotRunnable) as refused:
        start(template)
    [problem] = refused.value.problems
    assert (problem.code, problem.pointer) == ("TEMPLATE_NOT_ACTIVE", "/blocks/0/configuration/template")


def test_a_sub_workflow_that_undoes_is_started_and_waited_for() -> None:
    # Such an undo is refused when a template is written; a version from before may hold one.
    child = make_template([noop("inner")])
    undo = make_template([noop("undo_inner")], workspace=child.workspace)
    recovery = {"compensate": {"configuration": {"template": undo.public_id}}}
    execution = start(parent_of(child, {**BREAKS, "dependencies": ["call"]}, recovery=recovery))
    execution = go_on(go_on(run_until_quiet(execution)))
    assert statuses(execution)["call:undo"] == "COMPLETED"
    assert execution.status == "FAILED"
    assert [each.template_id for each in children_of(execution)] == [child.pk, undo.pk]
    assert_consistent(execution)
