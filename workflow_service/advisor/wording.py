"""Words that several detectors use."""

from collections.abc import Sequence

from workflow_service.engine.recommendations import Effect


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def share(part: int, whole: int) -> str:
    """Return a part of a whole as a percentage with both numbers."""
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "0 of 0"


def doubt(effect: Effect | None, condition: str) -> str:
    """Return the sentence that says on which condition a change is harmless, where effects outside are not known."""
    return "" if effect is Effect.NONE else f"Only if {condition}: what it does outside is not known."
