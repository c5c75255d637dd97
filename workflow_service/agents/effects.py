"""Whether the work of a tool changes anything outside its run, as far as its configuration says so."""

from collections.abc import Mapping

from pydantic import JsonValue

from workflow_service.agents.configuration import REFERENCE
from workflow_service.agents.use_cases import LIBRARY, REGISTRY, UseCaseRegistry
from workflow_service.engine.recommendations import Effect
from workflow_service.engine.states import ToolType

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Of the library: what reads a run's files and nothing else, and what is done for its effect.
READS_FILES = frozenset(
    {"csv.read", "file.hash", "file.list", "file.read", "json.read", "xml.read", "hash.compute"}
)
DONE_FOR_EFFECT = frozenset(
    {"email.send", "file.copy", "file.delete", "file.move", "file.write", "webhook.send"}
)


def effect_of(
    tool_type: ToolType | None, configuration: Mapping[str, JsonValue], registry: UseCaseRegistry = REGISTRY
) -> Effect:
    """Return what is known of the effects of a tool's work; of what is not known: ``UNKNOWN``."""
    match tool_type:
        case ToolType.NOOP | ToolType.LLM:
            return Effect.NONE
        case ToolType.API:
            return _request_effect(configuration)
        case ToolType.USE_CASE:
            return _use_case_effect(str(configuration.get("useCase", "")), registry)
        case ToolType.HUMAN | ToolType.WAIT:
            return Effect.SOME
    return Effect.UNKNOWN


def _request_effect(configuration: Mapping[str, JsonValue]) -> Effect:
    method = configuration.get("method")
    if configuration.get("callback"):
        return Effect.SOME
    if isinstance(method, str) and REFERENCE in method:
        return Effect.UNKNOWN
    if method is None:
        # What a request without a method is depends on whether it has a body to send.
        return Effect.UNKNOWN
    return Effect.NONE if str(method).upper() in READING_METHODS else Effect.SOME


def _use_case_effect(name: str, registry: UseCaseRegistry) -> Effect:
    use_case = registry.find(name)
    if use_case is None or not use_case.function.__module__.startswith(f"{LIBRARY}."):
        return Effect.UNKNOWN
    if name in DONE_FOR_EFFECT:
        return Effect.SOME
    # What is not told of its run has nothing to reach the world with.
    return Effect.NONE if not use_case.wants_run or name in READS_FILES else Effect.UNKNOWN
