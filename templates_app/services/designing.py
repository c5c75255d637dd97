"""From words to a definition that validates and runs dry: document A section 10.1, whoever reads the words.

A language model is asked where there is one, and told what is wrong with its answer until nothing is; else, and where
it does not answer or the budget is used up, the rules of ``ai/translator`` read the text. Nothing is saved here.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from pydantic import JsonValue

from templates_app.services.validation import validate_definition
from workflow_service.accounts.models import User, Workspace
from workflow_service.agents.catalog import list_agents
from workflow_service.ai.client import LlmRequest, UsageContext, ask, is_configured
from workflow_service.ai.errors import BudgetExceeded, LlmAnswerInvalid, LlmUnavailable, NotConfigured
from workflow_service.ai.generation.assembly import assemble
from workflow_service.ai.generation.facts import facts_by_step
from workflow_service.ai.generation.flow import Flow
from workflow_service.ai.generation.improvements import suggest_improvements
from workflow_service.ai.generation.model_answer import (
    PROMPT,
    answer_problems,
    answer_schema,
    flow_of,
    prompt_variables,
    read_answer,
)
from workflow_service.ai.generation.preferences import Wishes, apply_wishes, settings_of
from workflow_service.ai.generation.work import Offers, Work, find_work
from workflow_service.ai.translator.translation import translate
from workflow_service.engine.definition import Definition
from workflow_service.engine.dry_run import DryRunStatus, dry_run_branches
from workflow_service.engine.errors import Problem, WorkflowError
from workflow_service.engine.findings import Finding, errors_in
from workflow_service.engine.plan import compile_plan
from workflow_service.plurals import counted

MAX_REPAIRS = 3
# Document A section 15.1: the largest workflows within 30 s, and the rest of the work needs some of it.
MODEL_TIME_S = 25.0
Result = TypeVar("Result")


class Method(StrEnum):
    """Who read the words; AUTO: the model where there is one, else the rules."""

    AUTO = "auto"
    RULES = "rules"
    LLM = "llm"


class DesignFailed(WorkflowError):
    """What was made of the words cannot run, and could not be repaired; ``problems`` says why."""

    code = "GENERATION_FAILED"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the work, what came of it, and how long it took."""

    name: str
    detail: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Design:
    """What came of it. ``method`` is RULES or LLM; ``works`` says who does each step, by block id."""

    definition: Definition
    flow: Flow
    method: Method
    works: Mapping[str, Work]
    findings: tuple[Finding, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]
    improvements: tuple[str, ...]


@dataclass(slots=True)
class _Built:
    flow: Flow
    definition: Definition
    works: Mapping[str, Work]
    findings: tuple[Finding, ...]
    runs: int


@dataclass(slots=True)
class _Designer:
    text: str
    workspace: Workspace
    user: User
    wishes: Wishes
    operation: str
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    improvements: list[str] = field(default_factory=list)
    offers: Offers = field(default_factory=Offers)

    def timed(self, name: str, work: Callable[[], Result], said: Callable[[Result], str]) -> Result:
        began = time.monotonic()
        result = work()
        self.stages.append(Stage(name, said(result), round((time.monotonic() - began) * 1_000)))
        return result

    def find_offers(self) -> None:
        agents = self.timed(
            "query_agents", lambda: list_agents(self.workspace.pk), lambda found: f"{len(found)} agents"
        )
        known = {agent.agent_id for agent in agents}
        missing = [name for name in self.wishes.preferred_agents if name not in known]
        if missing:
            self.notes.append(f"There is no agent {', '.join(missing)}, so no step prefers it.")
        self.offers = Offers(agents, is_configured(), self.wishes.preferred_agents)

    def by_rules(self) -> _Built:
        flow = self.timed(
            "parse",
            lambda: translate(self.text),
            lambda found: f"{counted(len(found.steps), 'step')} by rules",
        )
        return self.timed("build", lambda: self.build(flow, repair=True), _summary)

    def by_model(self) -> _Built:
        built: list[_Built] = []

        def check(value: JsonValue) -> list[str]:
            problems = answer_problems(value, self.offers.agents, self.wishes)
            if problems:
                return problems
            try:
                built.append(self.build(flow_of(read_answer(value)), repair=False))
            except WorkflowError as error:
                return [_sentence(one) for one in error.problems[:10]] or [error.message]
            return []

        request = LlmRequest(
            PROMPT,
            prompt_variables(self.text, self.offers.agents, self.wishes),
            schema=answer_schema(),
            operation=self.operation,
            check=check,
            max_repairs=MAX_REPAIRS,
            timeout_s=MODEL_TIME_S,
        )
        context = UsageContext(workspace_id=self.workspace.pk, user_id=self.user.pk)
        answer = self.timed(
            "ask_model",
            lambda: ask(request, context),
            lambda one: f"{one.provider}/{one.model}, {one.repairs} repairs",
        )
        self.improvements += read_answer(answer.value).improvements
        return built[-1]

    def build(self, flow: Flow, *, repair: bool) -> _Built:
        """Return the checked definition of ``flow``; with ``repair`` work that does not fit is given to people."""
        wished = apply_wishes(flow, self.wishes, mend=repair)
        refused: set[str] = set()
        while True:
            built = self._assembled(wished, refused)
            errors = errors_in(built.findings)
            blamed = {name for one in errors for name in one.blocks} - refused
            if errors and (not repair or not blamed):
                raise DesignFailed(f"what was made cannot run: {errors[0].message}", errors)
            if not errors:
                break
            refused |= blamed
        problems = _dry_run_problems(built)
        if problems:
            raise DesignFailed(f"what was made does not run: {problems[0].message}", problems)
        return built

    def _assembled(self, flow: Flow, refused: set[str]) -> _Built:
        facts = facts_by_step(flow)
        works = {
            step.id: find_work(step, facts[step.id], self.offers, people_only=step.id in refused)
            for step in flow.steps
        }
        definition = assemble(flow, works, settings_of(self.wishes))
        return _Built(flow, definition, works, validate_definition(definition, self.workspace), 0)


def design_workflow(
    text: str,
    *,
    workspace: Workspace,
    user: User,
    wishes: Wishes | None = None,
    method: Method = Method.AUTO,
    operation: str = "generate",
) -> Design:
    """Return the workflow that ``text`` describes, ready to be saved.

    Raises ``TextNotUnderstood``, ``TooManyBlocks``, ``DesignFailed`` and, where ``method`` insists on the model,
    ``LlmAnswerInvalid`` (it never gave a good answer), ``NotConfigured``, ``LlmUnavailable`` or ``BudgetExceeded``.
    """
    designer = _Designer(text, workspace, user, wishes or Wishes(), operation)
    designer.find_offers()
    used = (
        Method.LLM
        if method is Method.LLM or (method is Method.AUTO and designer.offers.llm)
        else Method.RULES
    )
    if used is Method.LLM:
        try:
            built = designer.by_model()
        except (LlmAnswerInvalid, LlmUnavailable, BudgetExceeded, NotConfigured) as error:
            if method is Method.LLM:
                raise
            designer.notes.append(
                f"The language model was not used: {error.message}. Rules read the text instead."
            )
            # What would be asked of it at run time waits for it then; only the reading does without it.
            used, built = Method.RULES, designer.by_rules()
    else:
        built = designer.by_rules()
    by = {step.id: built.works[step.id].by for step in built.flow.steps}
    designer.stages.append(Stage("match_agents", "; ".join(f"{name}: {who}" for name, who in by.items()), 0))
    return Design(
        built.definition,
        built.flow,
        used,
        built.works,
        built.findings,
        tuple(designer.stages),
        tuple(dict.fromkeys((*designer.notes, *built.flow.notes))),
        tuple(dict.fromkeys((*designer.improvements, *suggest_improvements(built.flow, built.definition)))),
    )


def _dry_run_problems(built: _Built) -> list[Problem]:
    """Walk every branch; return what kept a walk from its end."""
    runs = dry_run_branches(compile_plan(built.definition))
    built.runs = len(runs)
    problems: list[Problem] = []
    for run in runs:
        problems += run.problems
        if run.status is DryRunStatus.STUCK:
            path = " -> ".join(run.path[:20])
            problems.append(Problem("NEVER_ENDS", f"a dry run went {path} and never came to an end"))
    return problems


def _summary(built: _Built) -> str:
    return (
        f"{counted(len(built.definition.blocks), 'block')}, {counted(len(built.findings), 'finding')}, "
        f"{counted(built.runs, 'dry run')}"
    )


def _sentence(problem: Problem) -> str:
    return f"{problem.message}. {problem.suggestion}".strip().rstrip(".") + "."
