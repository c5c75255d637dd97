"""What is wrong with blocks that ask a language model, beyond what their configurations say themselves.

That no provider is set is a warning: a workflow may be made here and run elsewhere, and a block may do without.
"""

from collections.abc import Iterator, Mapping

from pydantic import JsonValue, ValidationError

from workflow_service.agents.configuration import tool_input
from workflow_service.agents.llm_configuration import LlmConfiguration
from workflow_service.ai.answers import BadSchema, check_schema
from workflow_service.ai.errors import NotConfigured, PromptNotFound
from workflow_service.ai.prompt_registry import get_prompt
from workflow_service.ai.providers import candidates, configured_providers
from workflow_service.engine.definition import Definition
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import ToolType

REFERENCE = "${"


def llm_findings(definition: Definition) -> Iterator[Finding]:
    """Yield what is wrong with the definition's LLM blocks, on this server."""
    for index, block in enumerate(definition.blocks):
        works = [(block.tool_type, block.configuration, json_pointer("blocks", index, "configuration"))]
        for name in ("fallback", "compensate"):
            work = getattr(block.recovery, name, None)
            if work is not None:
                place = json_pointer("blocks", index, "recovery", name, "configuration")
                works.append((work.tool_type or block.tool_type, work.configuration, place))
        for tool_type, configuration, place in works:
            if tool_type is ToolType.LLM:
                yield from _findings(configuration, place, block.block_id)


def _findings(given: Mapping[str, JsonValue], place: str, block_id: str) -> Iterator[Finding]:
    try:
        configuration = LlmConfiguration.model_validate(given)
    except ValidationError:
        # Said with the configuration's own errors, or not known before ${...} is resolved.
        configuration = None
    model = given.get("model")
    fixed = isinstance(model, str) and REFERENCE not in model
    try:
        candidates(configured_providers(), model=str(model) if fixed else None)
    except NotConfigured as error:
        mend = "set LLM_SERVICE_URL or LLM_PROVIDERS on the server, or give the block a fallback"
        yield Finding(error.code, error.message, place, mend, blocks=(block_id,), severity=Severity.WARNING)
    if configuration is None:
        return
    yield from _of_prompt(configuration, given, place, block_id)
    schema = configuration.schema_of_answer
    if schema is not None and not _holds_reference(schema):
        yield from _of_schema(schema, given, place, block_id)


def _of_prompt(
    configuration: LlmConfiguration, given: Mapping[str, JsonValue], place: str, block_id: str
) -> Iterator[Finding]:
    name = configuration.prompt_name
    if name is None or REFERENCE in name:
        return
    pointer = place + "/promptName"
    try:
        prompt = get_prompt(name)
    except PromptNotFound as error:
        yield Finding(error.code, error.message, pointer, "name one of those", blocks=(block_id,))
        return
    variables = tool_input(ToolType.LLM, given)
    if isinstance(variables, dict):
        for one in prompt.variable_problems(set(variables)):
            mend = one.suggestion or "give it in 'input'"
            yield Finding(one.code, one.message, pointer, mend, blocks=(block_id,))


def _of_schema(
    schema: JsonValue, given: Mapping[str, JsonValue], place: str, block_id: str
) -> Iterator[Finding]:
    key = "schema" if "schema" in given else "outputSchema"
    try:
        check_schema(schema)
    except BadSchema as error:
        pointer = place + json_pointer(key) + error.pointer
        mend = "write it as JSON Schema, draft 2020-12, with its parts under $defs"
        yield Finding("BAD_SCHEMA", f"is no JSON Schema: {error.message}", pointer, mend, blocks=(block_id,))


def _holds_reference(value: JsonValue) -> bool:
    return REFERENCE in str(value)
