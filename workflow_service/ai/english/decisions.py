"""Who answers the questions behind a block, as a sentence: where the model is not sure, and where there is none."""

from collections.abc import Callable, Mapping, Sequence

from workflow_service.engine.definition import DecisionPolicy

_WHO: Mapping[str, str] = {
    "expression": "the expressions beside the questions",
    "history": "what was decided in like cases",
    "default": "the default",
    "person": "a person",
    "wait": "the model once it is back",
}
_USUALLY = ("expression", "history", "default", "person")


def describe_decision(policy: DecisionPolicy, title: Callable[[str], str]) -> str:
    """Return one or two sentences; ``title`` names a block."""
    unsure = {"person": "a person decides", "default": "the default is taken"}.get(policy.when_unsure)
    unsure = unsure or f"it goes on to “{title(policy.when_unsure)}”"
    listed = _USUALLY if policy.fallback is None else policy.fallback
    said = f"If the model is less than {policy.min_confidence:g} % sure, {unsure}"
    if listed:
        first = "" if len(listed) == 1 else "the first that can of "
        who = _either([_WHO[name] for name in listed])
        said += f"; if no model answers, {first}{who} decides"
    else:
        said += "; if no model answers, the workflow fails there"
    if policy.confirm:
        said += f". Nothing but a person's yes leads to {_either([f'“{title(name)}”' for name in policy.confirm])}"
    return f"{said}."


def _either(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
