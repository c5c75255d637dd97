"""Deciding: from the case of a claimed DECIDE row to what becomes of it.

In this order: a condition that settles it, what a person said of a like case, the model, and where that cannot or may
not answer, the fallbacks of the policy. What is not sure goes where ``whenUnsure`` says, and what is to be confirmed
goes to a person whoever decided. Every way through here ends: in a decision, a question to people, a later look at the
model within ``maxWait``, or a failure that says what was tried.

Nothing is written here. The row's result and the decision are written together when it is settled, under its fence, so
a worker that dies has decided nothing, and the next one asks again or finds the model's answer kept.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial

from pydantic import JsonValue

from executions_app.deciders import CHOICE, ChoiceQuestion, asks_people_to_choose
from executions_app.finishing import Result
from executions_app.handlers import Ask
from executions_app.progress import Claim
from executions_app.running import Outcome, Postpone
from workflow_service.ai.errors import (
    BudgetExceeded,
    LlmAnswerInvalid,
    LlmUnavailable,
    NotConfigured,
    PromptInvalid,
)
from workflow_service.decisions.cases import Case, read_case
from workflow_service.decisions.like_cases import history_says, person_says
from workflow_service.decisions.model_answer import Opinion, ask_model
from workflow_service.decisions.verdicts import (
    Source,
    Verdict,
    facts_of,
    output_of,
    verdict_of_opinion,
    verdict_of_precedent,
)
from workflow_service.engine.decision import ELSE, Option
from workflow_service.engine.definition import Fallback, JsonObject
from workflow_service.engine.errors import ExpressionError, WorkflowError
from workflow_service.engine.states import BlockStatus, ErrorType

NO_ANSWER = (LlmUnavailable, LlmAnswerInvalid, NotConfigured, PromptInvalid)
USUAL_FALLBACK: tuple[Fallback, ...] = ("expression", "history", "default", "person")
# A model that is down is looked for again after as long as it has been waited for, within these bounds.
LEAST_WAIT_S = 5.0
MOST_WAIT_S = 300.0
SHOWN_REASON = 500

# What an approver reads of an error; its code and message are for operators, in the log and the row's output.
IN_PLAIN_WORDS: Mapping[type[WorkflowError], str] = {
    NotConfigured: "no language model is set up that could have answered",
    LlmUnavailable: "the language model could not be reached",
    LlmAnswerInvalid: "the language model gave no answer that could be used",
    PromptInvalid: "the question could not be put to a language model",
    BudgetExceeded: "what may be spent on language models is used up",
}

logger = logging.getLogger("workflow_service.decisions")


def decide(claim: Claim) -> Outcome:
    """Say what becomes of a claimed DECIDE row. To be called outside of any transaction."""
    try:
        case = read_case(claim)
    except ExpressionError as error:
        return _failed(ErrorType.ROUTING_ERROR, f"a condition cannot be read: {error.message}", {})
    if not case.choice.options:
        return _by_conditions(case)
    precedent = person_says(case)
    if precedent is not None:
        return _taken(case, verdict_of_precedent(precedent))
    if not case.models_allowed:
        return _without_model(
            case,
            "the run may not ask a model (enableAiDecisions is false)",
            "this run was started without the help of language models",
        )
    try:
        opinion = ask_model(case)
    except BudgetExceeded as error:
        why = f"no model decided ({_words(error)})"
        plain = IN_PLAIN_WORDS[BudgetExceeded]
        # A budget may want a person to decide about what is beyond it.
        return _asked(case, plain, reason=why) if error.ask else _without_model(case, why, plain)
    except NO_ANSWER as error:
        asked_for = error.retry_after_s if isinstance(error, LlmUnavailable) else None
        why, plain = f"no model decided ({_words(error)})", IN_PLAIN_WORDS[type(error)]
        return _without_model(case, why, plain, retry_after_s=asked_for)
    return _by_model(case, opinion)


def _by_conditions(case: Case) -> Outcome:
    rest = case.choice.rest
    if rest is None:
        read: list[JsonValue] = [text for text, _ in case.choice.read]
        return _failed(
            ErrorType.NO_BRANCH_MATCHED,
            f"No branch of '{case.owner.id}' holds and it has no default",
            {"conditions": read},
        )
    return _taken(case, Verdict((rest.key,), Source.EXPRESSION, f"the condition holds: {rest.text}"))


def _by_model(case: Case, opinion: Opinion) -> Outcome:
    verdict = verdict_of_opinion(opinion)
    nowhere = case.choice.rest is None and ELSE in opinion.keys
    if nowhere or opinion.confidence < case.policy.min_confidence:
        return _unsure(case, verdict, nowhere=nowhere)
    return _taken(case, verdict)


def _unsure(case: Case, view: Verdict, *, nowhere: bool) -> Outcome:
    """Go where the policy says with what the model is not sure enough about."""
    said = (
        "the model found none of the branches right"
        if nowhere
        else (f"the model is {view.confidence:g} % sure, and {case.policy.min_confidence:g} % are wanted")
    )
    wanted = case.policy.when_unsure
    key: str | None = None
    if wanted == "default":
        key = case.choice.rest.key if case.choice.rest is not None else None
    elif wanted != "person":
        key = case.choice.key_of_target(wanted)
    if key is None:
        return _asked(case, said, view)
    reasoning = f"{said}: {view.reasoning}"
    return _taken(case, Verdict((key,), Source.DEFAULT, reasoning, view.confidence, view.opinion))


def _without_model(case: Case, why: str, plain: str, *, retry_after_s: float | None = None) -> Outcome:
    """Let the first of the policy's fallbacks decide that can; ``plain`` is ``why`` as approvers read it."""
    listed = case.policy.fallback if case.policy.fallback is not None else USUAL_FALLBACK
    outcome: Outcome | None
    for name in listed:
        match name:
            case "person":
                return _asked(case, plain, reason=why)
            case "wait":
                # Nobody is waited for who may not be asked.
                outcome = _later(case, why, retry_after_s) if case.models_allowed else None
            case _:
                outcome = _decided_by_rule(case, name, why)
        if outcome is not None:
            return outcome
    tried = ", ".join(listed) or "nothing"
    return _failed(
        ErrorType.ROUTING_ERROR,
        f"nobody could decide the way on from '{case.owner.id}': {why}; tried instead: {tried}",
        {"question": case.asked, "fallback": list(listed)},
    )


def _decided_by_rule(case: Case, name: Fallback, why: str) -> Outcome | None:
    rules: dict[str, Callable[[Case, str], Verdict | None]] = {
        "expression": _by_expression,
        "history": _by_history,
        "default": _by_default,
    }
    verdict = rules[name](case, why)
    return None if verdict is None else _taken(case, verdict)


def _by_expression(case: Case, why: str) -> Verdict | None:
    if case.rule is None:
        return None
    return Verdict(case.rule, Source.EXPRESSION, f"{why}; the expressions beside the questions decided")


def _by_history(case: Case, why: str) -> Verdict | None:
    precedent = history_says(case)
    return None if precedent is None else verdict_of_precedent(precedent, why)


def _by_default(case: Case, why: str) -> Verdict | None:
    rest = case.choice.rest
    return (
        None if rest is None else Verdict((rest.key,), Source.DEFAULT, f"{why}; the default branch is taken")
    )


def _later(case: Case, why: str, retry_after_s: float | None) -> Postpone | None:
    """Look for the model again later; None once it has been waited for long enough."""
    left_s = case.policy.max_wait / 1_000 - case.waited_s
    if left_s <= 0:
        return None
    pause_s = min(MOST_WAIT_S, max(LEAST_WAIT_S, case.waited_s, retry_after_s or 0.0))
    return Postpone(min(pause_s, max(left_s, LEAST_WAIT_S)), {"waitsFor": "model", "reason": why})


def _taken(case: Case, verdict: Verdict) -> Outcome:
    """Take the ways of a verdict, or ask a person where one of them wants a person's yes."""
    confirmed = set(case.policy.confirm)
    wanting = [way for way in case.choice.taken(verdict.keys) if confirmed.intersection(way.targets)]
    sure = confirmed.intersection(case.choice.sure_targets)
    if wanting or sure:
        named = ", ".join(sorted({*sure, *(one for way in wanting for one in way.targets)} & confirmed))
        return _asked(case, f"a person has to say yes before '{named}'", verdict)
    return Result(BlockStatus.COMPLETED, output=output_of(case, verdict))


def _asked(case: Case, why: str, view: Verdict | None = None, *, reason: str = "") -> Ask:
    """Let a person choose, who is told why and what was thought so far; ``reason`` is for operators."""
    claim, choice = case.claim, case.choice
    if reason:
        fields = {"execution_id": claim.execution_id, "block_id": case.owner.id}
        logger.warning("A person is asked behind block %s: %s", case.owner.id, reason, extra=fields)
    options = [(way.key, _words_of(way)) for way in choice.ways]
    question = ChoiceQuestion(
        execution_id=claim.execution_id,
        block_execution_id=claim.block_execution_id,
        block_id=case.owner.id,
        block=case.owner.block,
        people=case.policy.people,
        asked=_asked_of_people(case),
        message=_message(case, why, view),
        options=options,
        many=choice.many,
        shown=case.shown,
        shown_sha256=case.sha256,
    )
    ways: dict[str, JsonValue] = {way.key: list(way.edges) for way in choice.ways}
    kept: JsonObject = {
        "ways": ways,
        "sure": list(choice.sure),
        "reason": reason or why,
        **facts_of(case, view.opinion if view else None),
    }
    return Ask(partial(asks_people_to_choose(), question), wait_key=CHOICE, output_extra=kept)


def _asked_of_people(case: Case) -> str:
    """Return the question in one sentence: the label of what answers it."""
    return case.policy.question or f"Which way does the workflow go on from '{case.owner.id}'?"


def _message(case: Case, why: str, view: Verdict | None) -> str:
    """Return what a person reads: the question, why it comes to them, and what was thought before."""
    lines = [f"Which way does the workflow go on from '{case.owner.id}'?"]
    if case.policy.question is not None:
        lines.append(case.policy.question)
    lines.append("\n".join(f"• {way.key}: {_words_of(way)}" for way in case.choice.ways))
    lines.append(f"You are asked because {why}.")
    if view is not None:
        sure = "" if view.confidence is None else f", {view.confidence:g} % sure"
        lines.append(f"Proposed: {', '.join(view.keys)} ({view.source.label}{sure}). {view.reasoning}")
    return "\n\n".join(lines)


def _words_of(way: Option) -> str:
    leads = f"leads to {', '.join(way.targets)}" if way.targets else "goes no further way"
    return f"{way.text or 'none of the others'} ({leads})"


def _words(error: WorkflowError) -> str:
    return f"{error.code}: {error.message}"[:SHOWN_REASON]


def _failed(error_type: ErrorType, message: str, details: JsonObject) -> Result:
    error: JsonObject = {"type": error_type, "message": message, "details": details, "retryable": False}
    return Result(BlockStatus.FAILED, error=error)
