"""What a dry run has to say about an expression that could not be evaluated."""

from workflow_service.engine.errors import ExpressionError
from workflow_service.engine.expressions import MissingValue
from workflow_service.engine.findings import Finding


def problem_of(error: ExpressionError, pointer: str, block_id: str) -> Finding:
    """Return ``error`` as a finding at ``pointer``: MISSING_NAME or CANNOT_EVALUATE."""
    found = error.problems[0] if error.problems else None
    missing = isinstance(error, MissingValue)
    mend = "Let a block before it write that name, or read it with default()" if missing else ""
    return Finding(
        "MISSING_NAME" if missing else "CANNOT_EVALUATE",
        error.message,
        pointer=pointer + (found.pointer if found else ""),
        suggestion=(found.suggestion if found else "") or mend,
        line=found.line if found else None,
        column=found.column if found else None,
        blocks=(block_id.removesuffix("?"),),
    )
