"""Whether the people that a definition asks are there, and enough of them.

All are warnings: people come and go between publishing and asking, and who manages members can always answer.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from approvals_app.assignment import Person, people_of
from approvals_app.levels import assignee_of_group
from approvals_app.models import ApprovalLevel
from approvals_app.response_schema import find_problems
from workflow_service.accounts.models import Workspace
from workflow_service.engine.approval import human_step_of
from workflow_service.engine.definition import Asked, Definition, EscalationLevel, HumanInLoop
from workflow_service.engine.findings import Finding, Severity, nearest_name_hint
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import HumanStepType

DEFAULTS = "/globalSettings/humanInLoopDefaults"


@dataclass(frozen=True)
class _Place:
    """Where people are asked. ``inherited`` names the fields that the workflow's defaults say."""

    pointer: str
    asked: Asked
    blocks: tuple[str, ...]
    inherited: frozenset[str] = frozenset()

    def at(self, field: str, *parts: int | str) -> str:
        return (DEFAULTS if field in self.inherited else self.pointer) + json_pointer(*parts)


class _Staff:
    """Who answers approvals in a workspace, read once and only where it is asked for."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @cached_property
    def people(self) -> list[Person]:
        return list(people_of([self._workspace.pk]).get(self._workspace.pk, {}).values())

    @cached_property
    def levels(self) -> Mapping[str, tuple[str, ...]]:
        levels = ApprovalLevel.objects.filter(workspace=self._workspace).prefetch_related("groups")
        return {
            level.name: tuple(assignee_of_group(group.name) for group in level.groups.all())
            for level in levels
        }

    def approvers(self, assignees: tuple[str, ...]) -> set[int]:
        """Return the ids of those whom these assignees mean and who may answer; nobody listed: everybody."""
        return {
            one.user_id
            for one in self.people
            if one.is_approver and (not assignees or not one.names.isdisjoint(assignees))
        }

    def names(self) -> set[str]:
        return {name for one in self.people if one.is_approver for name in one.names}


def people_findings(definition: Definition, workspace: Workspace | None) -> Iterator[Finding]:
    """Yield a warning for each level, assignee or quorum that asks nobody, or too few, as things are now."""
    staff = _Staff(workspace) if workspace is not None else None
    seen = set()
    for place in _places(definition):
        for finding in _findings(place, staff):
            if (finding.code, finding.pointer) not in seen:
                seen.add((finding.code, finding.pointer))
                yield finding


def _places(definition: Definition) -> Iterator[_Place]:
    defaults = definition.global_settings.human_in_loop_defaults
    for index, block in enumerate(definition.blocks):
        if block.asks_people:
            own = block.human_in_loop.model_fields_set
            inherited = frozenset(defaults.model_fields_set - own) if defaults else frozenset()
            pointer = json_pointer("blocks", index, "humanInLoop")
            yield _Place(pointer, human_step_of(block, defaults), (block.block_id,), inherited)
        if block.recovery is not None and block.recovery.escalate is not None:
            pointer = json_pointer("blocks", index, "recovery", "escalate")
            yield _Place(pointer, block.recovery.escalate, (block.block_id,))
        if block.decision is not None and block.decision.people is not None:
            pointer = json_pointer("blocks", index, "decision", "people")
            yield _Place(pointer, block.decision.people, (block.block_id,))
    decisions = definition.global_settings.decisions
    if decisions is not None and decisions.people is not None:
        yield _Place("/globalSettings/decisions/people", decisions.people, ())
    recovery = definition.global_settings.default_recovery
    if recovery is not None and recovery.escalate is not None:
        yield _Place("/globalSettings/defaultRecovery/escalate", recovery.escalate, ())


def _findings(place: _Place, staff: _Staff | None) -> Iterator[Finding]:
    asked = place.asked
    if isinstance(asked, HumanInLoop):
        yield from _unfit_for_a_clock(place, asked)
    if staff is None:
        return
    yield from _unknown(place, asked, staff, "approval_level", "assignees", ())
    for index, level in enumerate(asked.escalation_chain):
        yield from _unknown(
            place, level, staff, "escalation_chain", "escalation_chain", ("escalationChain", index)
        )
    if isinstance(asked, HumanInLoop) and asked.quorum > 1:
        level_names = staff.levels.get(asked.approval_level or "", ())
        found = len(staff.approvers(asked.assignees or level_names))
        if found < asked.quorum:
            yield _warning(
                "QUORUM_TOO_LARGE",
                f"{asked.quorum} people must approve, and {found} of those asked may answer",
                place.at("quorum", "quorum"),
                f"ask for {found}, or ask more people" if found else "ask people who answer approvals here",
                place,
            )


def _unknown(
    place: _Place,
    asked: Asked | EscalationLevel,
    staff: _Staff,
    level_field: str,
    assignees_field: str,
    inside: tuple[int | str, ...],
) -> Iterator[Finding]:
    level = asked.approval_level
    if level is not None and not asked.assignees and level not in staff.levels:
        yield _warning(
            "UNKNOWN_APPROVAL_LEVEL",
            f"the workspace has no approval level '{level}': every approver is asked",
            place.at(level_field, *inside, "approvalLevel"),
            nearest_name_hint(level, staff.levels) or f"give it groups: PUT /api/v1/approval-levels/{level}",
            place,
        )
    for index, assignee in enumerate(asked.assignees):
        if not staff.approvers((assignee,)):
            yield _warning(
                "UNKNOWN_ASSIGNEE",
                f"'{assignee[:150]}' means nobody who answers approvals here",
                place.at(assignees_field, *inside, "assignees", index),
                nearest_name_hint(assignee, staff.names())
                or "name a user:, group: or role: of this workspace",
                place,
            )


def _unfit_for_a_clock(place: _Place, step: HumanInLoop) -> Iterator[Finding]:
    # What fits without being filled in is known for forms alone; of a review it is the block's output that must fit.
    schema = step.input_schema if step.type is not HumanStepType.REVIEW else None
    if step.on_timeout == "approve" and schema is not None and find_problems(schema, {}):
        yield _warning(
            "TIMEOUT_CANNOT_APPROVE",
            "the form must be filled in, so the end of the time cannot approve: the question stays open",
            place.at("on_timeout", "onTimeout"),
            "use reject, fail or wait, or a form that may be left empty",
            place,
        )


def _warning(code: str, message: str, pointer: str, suggestion: str, place: _Place) -> Finding:
    return Finding(
        code, message, pointer=pointer, suggestion=suggestion, blocks=place.blocks, severity=Severity.WARNING
    )
