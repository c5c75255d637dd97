"""Whether a language model is there to answer a definition's questions, and who answers them where none is.

That none is there is a warning: a workflow may be made here and run elsewhere, and something else decides.
"""

from collections.abc import Iterator, Sequence

from workflow_service.accounts.models import Workspace
from workflow_service.ai.errors import NotConfigured
from workflow_service.ai.providers import candidates, configured_providers
from workflow_service.decisions.deciding import USUAL_FALLBACK
from workflow_service.engine.definition import Branch, DecisionPolicy, Definition
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.json_values import json_pointer

MEND = (
    "set LLM_SERVICE_URL or LLM_PROVIDERS on the server, or say in the decision's fallback who is to decide"
)


def model_findings(definition: Definition, _workspace: Workspace | None) -> Iterator[Finding]:
    """Yield a warning for each question that no model of this server can be asked, with who decides instead."""
    for position, block in enumerate(definition.blocks):
        policy = definition.decision_policy(block)
        always = block.conditions.type == "inclusive"
        place = json_pointer("blocks", position, "conditions")
        yield from _of(block.block_id, block.conditions.branches, policy, place, always=always)
    for position, gate in enumerate(definition.gates):
        policy = definition.decision_policy(None)
        yield from _of(gate.name, gate.branches, policy, json_pointer("gates", position), always=False)


def _of(
    name: str, branches: Sequence[Branch], policy: DecisionPolicy, pointer: str, *, always: bool
) -> Iterator[Finding]:
    asked = [branch for branch in branches if branch.question is not None]
    if not asked:
        return
    try:
        candidates(configured_providers(), model=policy.model)
    except NotConfigured as error:
        has_default = always or any(branch.is_default for branch in branches)
        said = f"what is asked behind '{name}' is decided without one: {_instead(asked, policy, has_default)}"
        yield Finding(
            error.code, f"{error.message}; {said}", pointer, MEND, blocks=(name,), severity=Severity.WARNING
        )


def _instead(asked: Sequence[Branch], policy: DecisionPolicy, has_default: bool) -> str:
    """Return who decides, in the order of the fallback, up to the first that always can."""
    by_rule = all(branch.expression is not None for branch in asked)
    found: list[str] = []
    for one in policy.fallback if policy.fallback is not None else USUAL_FALLBACK:
        if one == "expression" and by_rule:
            found.append("by the expressions beside the questions")
            if has_default:
                break
        elif one == "history":
            found.append("as like cases were before")
        elif one == "default" and has_default:
            found.append("by the default branch")
            break
        elif one == "person":
            found.append("by a person")
            break
    return ", else ".join(found) or "nobody can, and the run fails there"
