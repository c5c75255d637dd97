"""Findings in words, with the numbers behind them."""

from workflow_service.anomalies.detection import Finding, Kind

# Units above seconds, what their rest is told in, and their seconds.
_STEPS = (("day", "h", 86_400), ("h", "min", 3_600), ("min", "s", 60))


def explain(finding: Finding, *, while_running: bool = False) -> str:
    """Return one sentence: what was unusual, and what would not have been."""
    what = f"block '{finding.block_id}'" if finding.block_id else "the run"
    sentence = _SENTENCES[finding.kind](finding, what, while_running)
    return f"{sentence[:1].upper()}{sentence[1:]}, judged by {finding.runs:,} runs."


def in_words(kind: Kind, value: float) -> str:
    """Return a value of that kind with its unit."""
    match kind:
        case Kind.DURATION:
            return milliseconds(value)
        case Kind.OUTPUT_SIZE:
            return number_of_bytes(value)
        case Kind.ERROR_RATE:
            return f"{value:.0f} %"
        case Kind.PATH:
            return f"{value:,.0f} run{'' if value == 1 else 's'}"


def expected_in_words(kind: Kind, low: float, high: float) -> str:
    """Return what was expected of a value of that kind."""
    match kind:
        case Kind.ERROR_RATE:
            return f"up to {in_words(kind, high)}"
        case Kind.PATH:
            return f"at least {low:,.0f} of {high:,.0f}"
        case _:
            return f"{in_words(kind, low)} to {in_words(kind, high)}"


def milliseconds(ms: float) -> str:
    """Return a time in the unit that suits it."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 59_500:
        return f"{ms / 1_000:.3g} s"
    seconds = round(ms / 1_000)
    unit, part, size = next(step for step in _STEPS if seconds >= step[2])
    whole, rest = divmod(seconds, size)
    rest = rest * (24 if unit == "day" else 60) // size
    plural = "s" if unit == "day" and whole > 1 else ""
    return f"{whole} {unit}{plural}" + (f" {rest} {part}" if rest else "")


def number_of_bytes(size: float) -> str:
    """Return a size in the unit that suits it."""
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} bytes"


def _duration(finding: Finding, what: str, while_running: bool) -> str:
    verb = "has been running for" if while_running else "took"
    expected = f"{milliseconds(finding.low)} to {milliseconds(finding.high)}"
    return f"{what} {verb} {milliseconds(finding.value)}; {expected} is to be expected"


def _error_rate(finding: Finding, what: str, _: bool) -> str:
    subject = what if finding.block_id else "this workflow"
    return f"{subject} failed in {finding.value:.0f} % of the last runs; up to {finding.high:.0f} % is to be expected"


def _output_size(finding: Finding, what: str, _: bool) -> str:
    expected = f"{number_of_bytes(finding.low)} to {number_of_bytes(finding.high)}"
    return f"{what} gave {number_of_bytes(finding.value)}; {expected} is to be expected"


def _path(finding: Finding, what: str, _: bool) -> str:
    taken = f"{finding.value:.0f}" if finding.value else "none"
    return f"{what} took a path that {taken} of the runs before it took"


_SENTENCES = {
    Kind.DURATION: _duration,
    Kind.ERROR_RATE: _error_rate,
    Kind.OUTPUT_SIZE: _output_size,
    Kind.PATH: _path,
}
