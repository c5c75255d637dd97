"""The words of advice: what kinds there are, what each is meant to make better, and in which unit that is measured."""

from enum import StrEnum


class Kind(StrEnum):
    """What is wrong, or could be better; one detector finds each."""

    PARALLELISE = "parallelise"
    RETRY = "retry"
    TIMEOUT = "timeout"
    CACHE = "cache"
    CHEAPER_MODEL = "cheaper_model"
    REORDER = "reorder"
    DEAD_BRANCH = "dead_branch"
    SPLIT = "split"


class Type(StrEnum):
    """What a suggestion is good for: document B section 5.1.4."""

    PERFORMANCE = "performance"
    RELIABILITY = "reliability"
    COST = "cost"
    UX = "ux"


class Measure(StrEnum):
    """The figure that a suggestion is to lower, over all runs that completed or failed.

    DURATION: seconds of active time on average. FAILURES: the share of runs that fail. COST: USD of language models a
    run. SIZE: blocks and ways out of them that somebody has to read.
    """

    DURATION = "duration"
    FAILURES = "failures"
    COST = "cost"
    SIZE = "size"


class Effort(StrEnum):
    """How much there is to look at before it is done: fields of a block, the order of blocks, or what they do."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Source(StrEnum):
    """Whose idea it was."""

    RULES = "rules"
    MODEL = "model"


class Status(StrEnum):
    """What became of a suggestion. IMPLEMENTED: a run has ended by the version that was made of it."""

    SUGGESTED = "suggested"
    ACCEPTED = "accepted"
    IMPLEMENTED = "implemented"
    MEASURED = "measured"
    REJECTED = "rejected"
    OUTDATED = "outdated"
