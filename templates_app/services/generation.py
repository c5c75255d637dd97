"""A template from a goal in plain words: document A sections 5.1 and 10.1."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from templates_app.bodies import TemplateDraft
from templates_app.models import MAX_NL_DESCRIPTION, Template
from templates_app.services.designing import Design, Method, design_workflow
from templates_app.services.templates import create_template
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.ai.generation.preferences import Wishes

# A template keeps its goal whole, and may be written back with it.
MAX_GOAL_LENGTH = MAX_NL_DESCRIPTION
_SMALL, _MIDDLING = 10, 50


@dataclass(frozen=True, slots=True)
class Generated:
    """The saved template, and how it came about."""

    template: Template
    design: Design


def generate_template(
    *,
    workspace: Workspace,
    actor: User,
    goal: str,
    wishes: Wishes,
    method: Method = Method.AUTO,
    confirm: Callable[[Generated], object] = lambda made: None,
) -> Generated:
    """Make a template that reaches ``goal`` and save it: active, as it has work for every block and no error.

    ``confirm`` is called in the transaction that saves it. To be called outside of any other: a language model that is
    asked is paid for, whatever becomes of the template. Raises ``Forbidden`` and what ``design_workflow`` raises;
    nothing is saved then.
    """
    require(actor, workspace, Action.TEMPLATE_CREATE)
    design = design_workflow(goal, workspace=workspace, user=actor, wishes=wishes, method=method)
    draft = TemplateDraft(
        name=design.flow.name or "Generated workflow",
        description=(design.flow.description or " ".join(goal.split()))[:2_000],
        category="",
        complexity=_complexity(len(design.definition.blocks)),
        estimated_duration_s=None,
        tags=("generated",),
        status=None,
        version=None,
        change_note=f"Generated from a goal, by {'a language model' if design.method is Method.LLM else 'rules'}",
        given={},
        definition=design.definition,
    )
    with transaction.atomic():
        template = create_template(
            workspace=workspace, actor=actor, body=draft, findings=design.findings, nl_description=goal
        )
        made = Generated(template, design)
        confirm(made)
    return made


def _complexity(blocks: int) -> str:
    """Return document A's word for a workflow of that size (its section 15.1 draws the lines)."""
    return "low" if blocks <= _SMALL else "medium" if blocks <= _MIDDLING else "high"
