"""LLM: the work of a block, done by a language model.

The author's prompt is the instruction; the block's input is material, and stands between tags. The answer is JSON with
a schema, else ``{"text": …}``. A retry of the same piece of work reuses an answer that was good.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from pydantic import JsonValue

from workflow_service.accounts.models import Workspace
from workflow_service.agents.configuration import read_configuration, tool_input
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import Invocation, LogLine
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.llm_configuration import LlmConfiguration
from workflow_service.ai.client import LlmAnswer, LlmRequest, UsageContext, ask
from workflow_service.ai.errors import (
    BudgetExceeded,
    LlmAnswerInvalid,
    LlmUnavailable,
    NotConfigured,
    PromptInvalid,
    PromptNotFound,
    UnavailableKind,
)
from workflow_service.ai.prompt_registry import Prompt, get_prompt
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ErrorType, ToolType

OPERATION = "block"
OWN_PROMPT = "block_work"
INPUT = "{{ input }}"

_TYPE_OF_KIND: Mapping[UnavailableKind, ErrorType] = {
    "RATE_LIMIT": ErrorType.RATE_LIMIT_ERROR,
    "TIMEOUT": ErrorType.TIMEOUT_ERROR,
    "NETWORK": ErrorType.NETWORK_ERROR,
    "REFUSED": ErrorType.CONFIGURATION_ERROR,
}


def run_llm(invocation: Invocation, limits: ToolLimits) -> JsonValue:
    """Ask the model and return its answer; raises ``ToolError``."""
    configuration = read_configuration(LlmConfiguration, invocation.configuration)
    origin = invocation.origin()
    context = UsageContext(
        workspace_id=workspace_key(invocation.workspace_id),
        user_id=origin.user_id,
        template_id=origin.template_id,
        execution_id=invocation.execution_id,
        block_id=invocation.block_id,
    )
    try:
        request = request_of(configuration, tool_input(ToolType.LLM, invocation.configuration))
        shared = "" if configuration.cache else invocation.idempotency_key
        answer = ask(replace(request, timeout_s=invocation.timeout_s, cache_scope=shared), context)
    except WorkflowError as error:
        raise tool_error(error) from error
    invocation.log(_line(answer))
    return answer.value if request.schema is not None else {"text": answer.text}


def request_of(configuration: LlmConfiguration, given: JsonValue) -> LlmRequest:
    """Return what a block asks; ``given`` is its input. Raises ``PromptNotFound`` or ``PromptInvalid``."""
    if configuration.prompt_name is None:
        prompt, variables = own_prompt(configuration, given), {"input": given} if _is_there(given) else {}
    else:
        prompt = get_prompt(configuration.prompt_name)
        if given is not None and not isinstance(given, dict):
            raise PromptInvalid(
                f"the input of the prompt '{prompt.name}' must be an object with its variables"
            )
        variables = given or {}
    schema = configuration.schema_of_answer
    return LlmRequest(
        prompt,
        variables,
        schema=prompt.schema if schema is None else schema,
        max_tokens=configuration.max_tokens,
        temperature=configuration.temperature,
        operation=OPERATION,
        model=configuration.model,
        max_cost_usd=configuration.max_cost_usd,
    )


def own_prompt(configuration: LlmConfiguration, given: JsonValue) -> Prompt:
    """Return the block's own prompt; its input stands where the text says ``{{ input }}``, else below it."""
    common = get_prompt(OWN_PROMPT)
    text = configuration.prompt or ""
    if not _is_there(given):
        return replace(common, system=configuration.system or common.system, user=text, variables=())
    user = text if INPUT in text else f"{text}\n\n{common.user}"
    return replace(common, system=configuration.system or common.system, user=user)


def tool_error(error: WorkflowError) -> ToolError:
    """Return what went wrong as the error of a tool: its type decides whether the block is tried again."""
    details: dict[str, JsonValue] = {"code": error.code}
    match error:
        case LlmUnavailable():
            if error.retry_after_s is not None:
                details["retryAfterS"] = error.retry_after_s
            return ToolError(_TYPE_OF_KIND[error.kind], error.message, details=details)
        case LlmAnswerInvalid():
            details["answer"] = error.text
            return ToolError(
                ErrorType.VALIDATION_ERROR, error.message, details=details, problems=error.problems
            )
        case BudgetExceeded():
            details |= {"scope": error.scope, "limitUsd": str(error.limit_usd)}
            return ToolError(_type_over_budget(error), error.message, details=details)
        case NotConfigured() | PromptNotFound() | PromptInvalid():
            return ToolError(
                ErrorType.CONFIGURATION_ERROR, error.message, details=details, problems=error.problems
            )
        case _:
            return ToolError(ErrorType.SYSTEM_ERROR, error.message, details=details)


def _type_over_budget(error: BudgetExceeded) -> ErrorType:
    if error.waiting:
        # Others may give back what they have reserved.
        return ErrorType.RATE_LIMIT_ERROR
    # People are asked about what does not fit, unless the workflow says otherwise; what is not allowed stops.
    return ErrorType.VALIDATION_ERROR if error.ask else ErrorType.AUTHORIZATION_ERROR


def _line(answer: LlmAnswer) -> LogLine:
    source = "from the cache" if answer.cached else f"{answer.repairs} repair(s), {answer.cost_usd:f} USD"
    context: dict[str, JsonValue] = {
        "provider": answer.provider,
        "model": answer.model,
        "promptTokens": answer.prompt_tokens,
        "completionTokens": answer.completion_tokens,
        "costUsd": str(answer.cost_usd),
        "cached": answer.cached,
    }
    return LogLine("INFO", f"{answer.model} answered ({source})", context)


def _is_there(given: JsonValue) -> bool:
    return given not in (None, {}, "")


@lru_cache(maxsize=1_024)
def workspace_key(public_id: str) -> int:
    """Return the key of a workspace; it never changes."""
    return Workspace.objects.values_list("pk", flat=True).get(public_id=public_id)
