"""A model's advice on failed blocks: followed within what policy allows, and missed in no mood."""

from typing import Any

import pytest

from executions_app import advising, running
from executions_app.models import BlockExecution, Execution, ExecutionLog, RecoveryAction
from executions_app.parking import take_back
from tests import failing_work
from tests.consistency import assert_consistent
from tests.driver import queued_blocks, run_until_quiet, wake_all
from tests.factories import make_template, start
from tests.failing_work import dying_at, new_key, unsteady_block, work
from tests.moods import BAD_MOODS, INJECTION, Mood, in_mood
from workflow_service.ai.models import LlmUsage
from workflow_service.ai.recovery_advice import MAX_COST_USD
from workflow_service.engine.states import ExecutionStatus
from workflow_service.vault.services.secrets import create_secret

pytestmark = pytest.mark.usefixtures("db", "empty_queues")


def shaky(*, recovery: dict[str, Any] | None = None, fails: int = 9, **params: Any) -> dict[str, Any]:
    """A block that fails, and may be retried or done in another way; a model may say which."""
    declared = {"fallback": work(new_key()), "advice": "model", **(recovery or {})}
    return unsteady_block("a", new_key(), fails=fails, fields={"recovery": declared}, **params)


def finished(execution: Execution) -> Execution:
    for _ in range(10):
        execution = run_until_quiet(execution)
        if execution.status in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED):
            break
        wake_all(execution)
    return execution


def run(*blocks: dict[str, Any], **options: Any) -> Execution:
    return finished(start(make_template(list(blocks)), **options))


def actions(execution: Execution) -> list[tuple[str, str]]:
    found = RecoveryAction.objects.filter(execution=execution).order_by("id")
    return list(found.values_list("strategy", "suggested_by"))


def advice(strategy: str, confidence: int = 90, **parameters: float) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "reasoning": "It has failed for long.",
        "confidence": confidence,
        "parameters": parameters,
    }


def test_a_good_model_chooses_among_what_is_allowed() -> None:
    with in_mood("good", advice("fallback")) as server:
        execution = run(shaky())
    assert (execution.status, actions(execution)) == ("COMPLETED", [("fallback", "ai")])
    (action,) = RecoveryAction.objects.filter(execution=execution)
    assert (action.ai_model, action.ai_confidence) == ("m", 90)
    assert action.ai_reasoning == "It has failed for long."
    assert action.reason.endswith("advised by m (90 %)")
    assert server.calls == 1


@pytest.mark.parametrize("said", ["skip", "abort", "reassign"], ids=str)
def test_what_is_not_offered_is_not_done(said: str) -> None:
    with in_mood("good", advice(said)) as server:
        execution = run(shaky(recovery={"strategies": ["retry", "fallback", "skip"]}))
    assert actions(execution)[0] == ("retry", "rules")
    assert server.calls == 2  # once, and once more to mend it; then there is no choice left


def test_advice_without_confidence_is_not_followed() -> None:
    with in_mood("good", advice("fallback", confidence=30)):
        assert actions(run(shaky(fails=1))) == [("retry", "rules")]


@pytest.mark.parametrize("mood", BAD_MOODS)
def test_in_no_other_mood_is_a_rule_skipped(mood: Mood) -> None:
    with in_mood(mood, advice("fallback"), llm_retry_attempts=0) as server:
        execution = run(shaky(error="NETWORK_ERROR", note=INJECTION))
    assert execution.status == "COMPLETED"
    assert actions(execution) == [("retry", "rules"), ("fallback", "rules")]
    assert ExecutionLog.objects.filter(
        execution_id=execution.pk, message__startswith="No model advised"
    ).exists()
    assert server.calls <= 2
    spent = sum(one.cost_usd for one in LlmUsage.objects.filter(workspace=execution.workspace_id))
    assert spent <= MAX_COST_USD


def test_no_model_is_asked_where_there_is_no_choice_or_nobody_wants_one() -> None:
    with in_mood("good", advice("fallback")) as server:
        run(shaky(fails=1, recovery={"advice": "history"}))
        run(shaky(fails=1, recovery={"fallback": None}))
        run(shaky(fails=1), enableAiDecisions=False)
        assert server.calls == 0


def test_no_secret_of_the_workspace_is_told_to_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came with the data, so that the block does not know it for a secret."""
    secret = "correct horse battery staple"
    template = make_template([shaky(error="NETWORK_ERROR")])
    create_secret(workspace=template.workspace, actor=template.owner, name="TOKEN", value=secret)
    monkeypatch.setattr(failing_work, "WORDS", f"refused for {secret} at")
    with in_mood("good", advice("fallback")) as server:
        execution = finished(start(template))
    assert "refused for *** at" in str(server.requests)
    assert secret not in str(server.requests)
    assert actions(execution) == [("fallback", "ai")]


def test_errors_that_are_alike_are_one_question() -> None:
    template = make_template([shaky(error="NETWORK_ERROR")])
    with in_mood("good", advice("fallback")) as server:
        for _ in range(3):
            assert finished(start(template)).status == "COMPLETED"
    assert server.calls == 1


def test_a_worker_that_dies_asking_leaves_the_block_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(make_template([shaky(fails=1)]))
    (row_id,) = queued_blocks(execution)
    with in_mood("good", advice("fallback")) as server:
        with dying_at(monkeypatch, advising, "advise_recovery"), monkeypatch.context() as patched:
            patched.setattr(running, "find_orphans", lambda worker: [])
            running.run_blocks(execution.pk, row_id, "default")
        row = BlockExecution.objects.get(pk=row_id)
        assert row.status == "RUNNING"
        for _ in range(2):
            take_back(execution.pk, [(row_id, row.fence)])
        execution = finished(execution)
        assert server.calls == 0
    assert assert_consistent(execution).status == "COMPLETED"
    assert actions(execution) == []
