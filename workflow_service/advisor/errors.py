"""What can be wrong with asking for advice, or taking it."""

from workflow_service.engine.errors import WorkflowError


class SuggestionNotFound(WorkflowError):
    """The template has no suggestion of that id."""

    code = "SUGGESTION_NOT_FOUND"


class SuggestionDecided(WorkflowError):
    """A suggestion is accepted or rejected once."""

    code = "SUGGESTION_DECIDED"


class SuggestionOutdated(WorkflowError):
    """The template has another version now than the one that the suggestion is about."""

    code = "SUGGESTION_OUTDATED"
