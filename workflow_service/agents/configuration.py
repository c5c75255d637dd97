"""What a block's ``configuration`` may hold, per tool type, and what is wrong with one.

The models are checked twice: when a template is validated, before any ``${...}`` is resolved (so a text that
holds one passes any field), and again by the tool on the resolved values. Keys that a tool does not know are
its input.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from workflow_service.agents.api_auth import Auth, plain_credentials
from workflow_service.agents.api_bodies import BodyType, fit_problem
from workflow_service.agents.api_paging import Paging
from workflow_service.agents.errors import MAX_PROBLEMS, ToolError
from workflow_service.agents.limits import tool_limits
from workflow_service.agents.llm_configuration import LlmConfiguration
from workflow_service.agents.mcp_tools import mcp_arguments, mcp_problems
from workflow_service.agents.use_cases import FROM_SECRET, LITERAL, REGISTRY, UseCase, UseCaseRegistry
from workflow_service.agents.waits import SubworkflowConfiguration, WaitConfiguration
from workflow_service.artifacts.references import FileName, FileSource
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import ErrorType, ToolType

REFERENCE = "${"
NEAR = 0.8
_SECRET = re.compile(r"\$\{\s*secrets\b")
_SHOWN_OF_REQUEST = ("method", "endpoint", "query", "body", "input")
_SAID_OF_KEYS = frozenset({"missing", "extra_forbidden"})
_SAID_BY_VALIDATORS = frozenset({"value_error", "assertion_error"})

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
StatusCode = Annotated[int, Field(ge=100, le=599)]
StatusCodes = Annotated[
    list[StatusCode], BeforeValidator(lambda value: [value] if isinstance(value, int) else value)
]
BODILESS_METHODS = frozenset({"GET", "HEAD"})
FieldValue = str | int | float | bool | None


class ToolConfiguration(BaseModel):
    """Base of the configurations: camelCase outside; further keys are the tool's input."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel, frozen=True, allow_inf_nan=False)

    input: JsonValue = None


class UseCaseConfiguration(ToolConfiguration):
    """``{"useCase": "csv.read", "input": …}``"""

    use_case: str = Field(min_length=1, max_length=200)


class ScriptConfiguration(ToolConfiguration):
    """``{"script": "extract.py", "input": …}`` or ``{"code": "…"}``

    ``files`` are put into its directory, by the name each has there: ``{"sales.csv": "art_…"}``.
    """

    script: str | None = Field(None, min_length=1, max_length=500)
    code: str | None = Field(None, min_length=1, max_length=1024 * 1024)
    files: dict[FileName, FileSource] = Field({}, max_length=100)

    @model_validator(mode="after")
    def one_source(self) -> "ScriptConfiguration":
        if (self.script is None) == (self.code is None):
            message = "give either 'script' (the name of a file) or 'code' (Python source)"
            raise PydanticCustomError("one_source", message)
        return self


class ApiConfiguration(ToolConfiguration):
    """``{"endpoint": "https://…", "method": "POST", "body": …}``; ``timeout`` is milliseconds.

    With ``callback`` an answer of 202 means that the agent has accepted the work and will call back.
    """

    endpoint: str = Field(min_length=1, max_length=8_000)
    base_url: str | None = Field(None, max_length=2_000)
    method: Method | None = None
    headers: dict[str, FieldValue] = {}
    query: dict[str, FieldValue | list[FieldValue]] = {}
    body: JsonValue = None
    expected_status: StatusCodes | None = None
    response_mapping: dict[str, str] | None = None
    timeout: int | None = Field(None, ge=1, le=7 * 86_400_000)
    max_redirects: int = Field(5, ge=0, le=20)
    callback: bool = False
    auth: Auth | None = None
    body_type: BodyType | None = None
    paging: Paging | None = None

    def expects(self, status: int) -> bool:
        """Tell whether an answer with that status is a good one; by default 200 to 299."""
        if self.expected_status is None:
            return 200 <= status < 300
        return status in self.expected_status

    @model_validator(mode="after")
    def body_fits_its_type(self) -> "ApiConfiguration":
        given = self.body if "body" in self.model_fields_set else self.input
        problem = fit_problem(given, self.body_type)
        if problem is None and self.paging is not None and self.callback:
            problem = "what is called back has no pages; leave out 'paging' or 'callback'"
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def body_has_a_way(self) -> "ApiConfiguration":
        if self.method in BODILESS_METHODS and self.model_extra and "body" not in self.model_fields_set:
            names = ", ".join(f"'{name}'" for name in self.model_extra)
            message = (
                f"a {self.method} request has no body to send {names} in; use 'query', or another method"
            )
            raise PydanticCustomError("bodiless_method", "{message}", {"message": message})
        return self


class McpConfiguration(ToolConfiguration):
    """``{"server": "tickets", "tool": "create_ticket", "arguments": {…}}``: names, and no address."""

    server: str = Field(min_length=1, max_length=200)
    tool: str = Field(min_length=1, max_length=200)
    arguments: JsonValue = None


class NoopConfiguration(BaseModel):
    """``{"output": …}``: the answer of a block without work."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: JsonValue = {}


Model = TypeVar("Model", bound=BaseModel)
MODELS: Mapping[ToolType, type[BaseModel]] = {
    ToolType.USE_CASE: UseCaseConfiguration,
    ToolType.SCRIPT: ScriptConfiguration,
    ToolType.API: ApiConfiguration,
    ToolType.MCP: McpConfiguration,
    ToolType.NOOP: NoopConfiguration,
    ToolType.LLM: LlmConfiguration,
    ToolType.WAIT: WaitConfiguration,
    ToolType.SUBWORKFLOW: SubworkflowConfiguration,
}
# Done by the service itself, not by a tool.
_NOT_TOOLS = frozenset({ToolType.HUMAN})


def is_available(tool_type: ToolType) -> bool:
    """Tell whether this server has a tool of that type."""
    return tool_type in MODELS


def not_available(tool_type: ToolType) -> str:
    """Return the sentence that says so."""
    return f"the tool type {tool_type} is not available on this server"


def read_configuration(model: type[Model], configuration: Mapping[str, JsonValue]) -> Model:
    """Return a resolved configuration as its model; raises ``ToolError`` naming each field that is wrong."""
    try:
        return model.model_validate(configuration)
    except ValidationError as error:
        problems = tuple(_problem(found, configuration) for found in _details(error))
        shown = "; ".join(f"{found.pointer or 'configuration'}: {found.message}" for found in problems[:5])
        raise ToolError(
            ErrorType.CONFIGURATION_ERROR, f"the configuration is not right: {shown}", problems=problems
        ) from None


def configuration_errors(
    tool_type: ToolType,
    configuration: Mapping[str, JsonValue],
    registry: UseCaseRegistry = REGISTRY,
    workspace_id: str | None = None,
) -> list[Problem]:
    """Return what is wrong with a configuration in which ``${...}`` still stands; pointers begin at it.

    ``workspace_id`` is the public id of the workspace that it is to run in, where that is known.
    """
    if tool_type in _NOT_TOOLS:
        return []
    model = MODELS.get(tool_type)
    if model is None:
        return [Problem(ErrorType.CONFIGURATION_ERROR, not_available(tool_type))]
    problems = list(_problems(model, configuration))
    if tool_type is ToolType.API:
        problems += _misspelt(model, configuration)
        problems += plain_credentials(configuration)
    if tool_type is ToolType.MCP and not problems:
        problems += mcp_problems(tool_limits().mcp_servers_file, configuration, workspace_id)
    if tool_type is ToolType.USE_CASE and not problems:
        problems += _use_case_problems(configuration, registry)
    return problems


def tool_input(tool_type: ToolType, configuration: Mapping[str, JsonValue]) -> JsonValue:
    """Return what a tool is handed and its block shows as input: ``input``, else the keys left over."""
    if tool_type is ToolType.NOOP or tool_type not in MODELS:
        return {}
    if tool_type is ToolType.WAIT:
        return dict(configuration)
    if tool_type is ToolType.MCP:
        return mcp_arguments(configuration)
    if tool_type is not ToolType.API and "input" in configuration:
        return configuration["input"]
    known = field_names(MODELS[tool_type])
    rest: dict[str, JsonValue] = {key: value for key, value in configuration.items() if key not in known}
    if tool_type is not ToolType.API:
        return rest
    # Headers are left out: they are where credentials travel.
    shown = {key: configuration[key] for key in _SHOWN_OF_REQUEST if key in configuration}
    return shown | rest


def _problems(model: type[BaseModel], configuration: Mapping[str, JsonValue]) -> Iterator[Problem]:
    try:
        model.model_validate(configuration)
    except ValidationError as error:
        for found in _details(error):
            if not _may_pass_resolved(found, dict(configuration)):
                yield _problem(found, configuration)


def _may_pass_resolved(found: ErrorDetails, document: JsonValue) -> bool:
    """Tell whether a value that does not fit may fit once its ``${...}`` is replaced."""
    value = found["input"]
    if isinstance(value, str):
        return REFERENCE in value
    # What the validator of a whole object says, or one member of a union, may hang on any value in it.
    in_union = found["type"] not in _SAID_OF_KEYS and len(list(_places(found["loc"], document))) < len(
        found["loc"]
    )
    return (in_union or found["type"] in _SAID_BY_VALIDATORS) and _holds_reference(value)


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False)[:MAX_PROBLEMS]


def _problem(found: ErrorDetails, configuration: Mapping[str, JsonValue]) -> Problem:
    pointer = json_pointer(*_places(found["loc"], configuration))
    message = _message(found)
    suggestion = ""
    if found["type"] == "missing":
        near = difflib.get_close_matches(str(found["loc"][-1]), configuration, n=1, cutoff=NEAR)
        instead = f" in place of '{near[0]}'" if near else ""
        suggestion = f"write '{found['loc'][-1]}'{instead}"
    elif found["type"] == "extra_forbidden":
        message = "is not a known field"
        suggestion = "remove it"
    return Problem(ErrorType.CONFIGURATION_ERROR, message, pointer=pointer, suggestion=suggestion)


def _places(location: tuple[str | int, ...], configuration: Any) -> Iterator[str | int]:
    # pydantic also names the member of a union that it tried, which is no place in the document.
    here = configuration
    for part in location:
        leads_on = (
            isinstance(part, int) if isinstance(here, list) else isinstance(here, Mapping) and part in here
        )
        if leads_on:
            here = here[part]
            yield part


def _misspelt(model: type[BaseModel], configuration: Mapping[str, JsonValue]) -> Iterator[Problem]:
    """A key that is not known goes into the request's body, unless it can hardly be anything but a slip."""
    known = field_names(model)
    for key in configuration:
        near = difflib.get_close_matches(key, known - set(configuration), n=1, cutoff=NEAR)
        if key not in known and near:
            yield Problem(
                ErrorType.CONFIGURATION_ERROR,
                f"'{key}' is not a known field",
                pointer=json_pointer(key),
                suggestion=f"write '{near[0]}', or put it into 'body' if it is to be sent",
            )


def _use_case_problems(
    configuration: Mapping[str, JsonValue], registry: UseCaseRegistry
) -> Iterator[Problem]:
    name = str(configuration["useCase"])
    if REFERENCE in name:
        return
    use_case = registry.find(name)
    if use_case is None:
        yield Problem(
            ErrorType.CONFIGURATION_ERROR,
            f"there is no use case '{name}'",
            pointer="/useCase",
            suggestion=registry.suggestion(name),
        )
        return
    given = tool_input(ToolType.USE_CASE, configuration)
    place: tuple[str, ...] = ("input",) if "input" in configuration else ()
    if isinstance(given, dict):
        yield from _misplaced_values(use_case, given, place)
    if isinstance(given, str) and REFERENCE in given:
        return
    try:
        use_case.params.validate_python(given)
    except ValidationError as error:
        for found in _details(error):
            if not _may_pass_resolved(found, given):
                pointer = json_pointer(*place, *_places(found["loc"], given))
                yield Problem(
                    ErrorType.CONFIGURATION_ERROR,
                    f"the input does not fit '{name}': {_message(found)}",
                    pointer=pointer,
                )


def _misplaced_values(
    use_case: UseCase, given: Mapping[str, JsonValue], place: tuple[str, ...]
) -> Iterator[Problem]:
    for name in use_case.fields_marked(LITERAL):
        if _holds_reference(given.get(name)):
            yield Problem(
                ErrorType.CONFIGURATION_ERROR,
                f"'{name}' of '{use_case.name}' may hold no ${{...}}: a value could change what it means",
                pointer=json_pointer(*place, name),
                suggestion="bind the value: name it in 'params'",
            )
    for name in use_case.fields_marked(FROM_SECRET):
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and _SECRET.search(value)):
            yield Problem(
                ErrorType.CONFIGURATION_ERROR,
                f"'{name}' of '{use_case.name}' comes from a secret, and is not written into a workflow",
                pointer=json_pointer(*place, name),
                suggestion="keep it as a secret of the workspace and write ${secrets.NAME}",
            )


def _message(found: ErrorDetails) -> str:
    if found["type"] == "missing":
        return f"'{found['loc'][-1]}' is missing"
    return found["msg"].removeprefix("Value error, ")


def _holds_reference(value: Any) -> bool:
    if isinstance(value, str):
        return REFERENCE in value
    if isinstance(value, Mapping):
        return any(_holds_reference(member) for member in value.values())
    return isinstance(value, list) and any(_holds_reference(member) for member in value)


def field_names(model: type[BaseModel]) -> set[str]:
    """Return the keys that a tool knows; what else its configuration holds is its input."""
    return {field.alias or name for name, field in model.model_fields.items()}
