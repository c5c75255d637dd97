"""Words that several detectors use."""

from collections.abc import Sequence


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def share(part: int, whole: int) -> str:
    """Return a part of a whole as a percentage with both numbers."""
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "0 of 0"
