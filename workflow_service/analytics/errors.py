"""What can be wrong with a question about how runs went."""

from workflow_service.engine.errors import WorkflowError


class TimeRangeInvalid(WorkflowError):
    """A time range ends before it begins, or has more points at its granularity than an answer may have."""

    code = "INVALID_TIME_RANGE"
