"""USE_CASE: registered Python functions, typed by their annotations.

A use case is named once (``sales.validate``); its first parameter says what input fits, its return annotation
what output it promises, and both are checked on every call. Functions run in the worker's own process: they
are the operator's code, not a workflow author's.
"""

import difflib
import importlib
import inspect
import re
import time
import typing
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from workflow_service.agents.egress import Egress
from workflow_service.agents.egress_rules import parse_allowed
from workflow_service.agents.errors import ToolError, invalid
from workflow_service.agents.invocation import (
    Invocation,
    LogLevel,
    LogLine,
    ProgressReport,
    never_stopped,
    unheard,
)
from workflow_service.agents.limits import ToolLimits
from workflow_service.agents.run_files import RunFiles, open_run_file
from workflow_service.agents.workspace_files import workspace_dir
from workflow_service.artifacts.references import ArtifactRef, check_name, content_type_of, is_artifact_id
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.states import ErrorType

ENTRY_POINT_GROUP = "workflow_service.use_cases"
LIBRARY = "workflow_service.agents.library"
BUILT_IN_MODULES = tuple(
    f"{LIBRARY}.{module}"
    for module in (
        *(
            "archives",
            "changes",
            "charts",
            "clock",
            "database",
            "downloads",
            "files",
            "fitting",
            "grouping",
            "hashes",
        ),
        *("identifiers", "joining", "json_documents", "mail", "markup", "numbers", "patterns", "records"),
        *("schemas", "statistics", "tables", "text", "webhooks", "xml_documents"),
    )
)
# Marks a field (``json_schema_extra={LITERAL: True}``) that is the author's own text: values are not written into it.
LITERAL = "literal"
# Marks a field whose value comes from a secret, and is never written into a workflow.
FROM_SECRET = "fromSecret"  # noqa: S105 - the name of a mark
USE_CASE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

_LITTLE_WORDS = frozenset(
    {
        *(
            "a",
            "an",
            "and",
            "as",
            "at",
            "by",
            "each",
            "for",
            "from",
            "if",
            "in",
            "into",
            "is",
            "it",
            "its",
            "not",
        ),
        *("of", "on", "one", "or", "so", "that", "the", "them", "they", "to", "what", "where", "with"),
    }
)

Function = TypeVar("Function", bound=Callable[..., Any])


class UseCaseUnusable(WorkflowError):
    """A use case, or a module of use cases, cannot be registered: found at start, not in a run."""

    code = "USE_CASE_UNUSABLE"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a use case may know of the run it works for. ``idempotency_key`` is the same on every retry."""

    execution_id: str
    block_id: str
    workspace_id: str
    idempotency_key: str
    _log: Callable[[LogLine], None]
    _deadline: float
    _limits: ToolLimits
    _files: RunFiles
    _progress: Callable[[ProgressReport], None] = unheard
    _stopped: Callable[[], bool] = never_stopped

    def log(self, level: LogLevel, message: str, **context: JsonValue) -> None:
        """Write one line to the execution's log; ``context`` is kept beside it as JSON."""
        self._log(LogLine(level, message, context))

    def progress(self, percent: float, message: str = "") -> None:
        """Say how far the work is, 0 to 100; as often as wanted, the newest is shown within half a second."""
        self._progress(ProgressReport(percent, message))

    def remaining_s(self) -> float:
        """Return the seconds that are left before the block's timeout, never less than 0."""
        return max(0.0, self._deadline - time.monotonic())

    def cancelled(self) -> bool:
        """Say whether the run was cancelled: whatever is returned then is dropped, so long work may as well end."""
        return self._stopped()

    def open_file(self, source: str) -> BinaryIO:
        """Open a file of the run's workspace by its name, or an artifact by its id, to be read.

        Raises ``ToolError`` where there is none.
        """
        return open_run_file(self._files, self._limits.files_dir, self.workspace_id, source)

    def open_schema(self, source: str) -> BinaryIO:
        """Open a schema file as it was when the run's template was written; else as ``open_file`` does."""
        pinned = self._files.pinned_file("schemas", source)
        return self.open_file(source) if pinned is None else BytesIO(pinned)

    def file_name(self, source: str) -> str:
        """Return the last part of a file's name; of an artifact, that it was kept under."""
        name = self._files.describe(source).name if is_artifact_id(source) else source
        return name.rpartition("/")[2]

    def save_file(
        self, name: str, data: bytes | str | Path | BinaryIO, *, content_type: str = ""
    ) -> ArtifactRef:
        """Keep a file as an artifact of the run and return the reference to put into the output.

        ``data`` is what it holds (a ``str`` as UTF-8), an open file, or the ``Path`` of one on this host. A block that
        is tried again and saves the same content under the same name gets the same artifact. Raises ``ToolError``,
        and ``ValueError`` for a name that is none.
        """
        check_name(name)
        if isinstance(data, Path):
            with data.open("rb") as file:
                return self._files.save(name, file, content_type_of(name, content_type))
        if isinstance(data, str):
            data = data.encode()
        source = BytesIO(data) if isinstance(data, bytes) else data
        return self._files.save(name, source, content_type_of(name, content_type))

    @property
    def files_dir(self) -> Path:
        """The directory of the workspace's files, made if need be; names in it are never to be trusted."""
        directory = workspace_dir(self._limits.files_dir, self.workspace_id)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    @property
    def egress(self) -> Egress:
        """Where requests of the run may go, and until when."""
        return Egress(parse_allowed(self._limits.egress_allow), self._deadline)

    @property
    def sql_connections(self) -> Mapping[str, str]:
        """The databases that the operator has opened to workflows, by name."""
        return self._limits.sql_connections

    @property
    def max_output_bytes(self) -> int:
        """How large the output may be, as JSON."""
        return self._limits.max_output_bytes


@dataclass(frozen=True, slots=True)
class UseCase:
    """A registered function with the types of its input and output."""

    name: str
    function: Callable[..., Any]
    params: TypeAdapter[Any]
    output: TypeAdapter[Any]
    wants_run: bool

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def keywords(self) -> list[str]:
        """Return the words of the name and the summary, in order: what it may be looked for by."""
        words = re.findall(r"[a-z0-9]+", f"{self.name} {self.summary}".lower())
        return [word for word in dict.fromkeys(words) if word not in _LITTLE_WORDS]

    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the input."""
        return self.params.json_schema()

    def output_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the output."""
        return self.output.json_schema(mode="serialization")

    def fields_marked(self, mark: str) -> tuple[str, ...]:
        """Return the fields of the input that bear a mark: ``LITERAL`` or ``FROM_SECRET``."""
        return _fields_marked(self, mark)


@cache
def _fields_marked(use_case: UseCase, mark: str) -> tuple[str, ...]:
    # Making a schema takes milliseconds, and every configuration of the use case asks this.
    fields = use_case.input_schema().get("properties", {})
    return tuple(name for name, schema in fields.items() if schema.get(mark))


class UseCaseRegistry:
    """Use cases by name."""

    def __init__(self) -> None:
        self._use_cases: dict[str, UseCase] = {}

    def register(self, name: str) -> Callable[[Function], Function]:
        """Return a decorator that registers a function under ``name``; raises ``UseCaseUnusable``."""

        def decorate(function: Function) -> Function:
            self._add(_use_case_of(name, function))
            return function

        return decorate

    def get(self, name: str) -> UseCase:
        """Return the use case of that name; raises ``ToolError`` that suggests the nearest one."""
        found = self._use_cases.get(name)
        if found is None:
            message = f"there is no use case '{name}'; {self.suggestion(name)}".removesuffix("; ")
            raise ToolError(ErrorType.CONFIGURATION_ERROR, message)
        return found

    def find(self, name: str) -> UseCase | None:
        """Return the use case of that name, if there is one."""
        return self._use_cases.get(name)

    def suggestion(self, name: str) -> str:
        """Return a sentence naming the use case that is nearest to ``name``, or an empty text."""
        near = difflib.get_close_matches(name, self._use_cases, n=1, cutoff=0.5)
        return f"did you mean '{near[0]}'?" if near else ""

    def names(self) -> list[str]:
        """Return all names, in order."""
        return sorted(self._use_cases)

    def _add(self, use_case: UseCase) -> None:
        known = self._use_cases.get(use_case.name)
        if known is not None and _origin(known.function) != _origin(use_case.function):
            raise UseCaseUnusable(
                f"two functions claim the use case '{use_case.name}': "
                f"{_origin(known.function)} and {_origin(use_case.function)}"
            )
        self._use_cases[use_case.name] = use_case


REGISTRY = UseCaseRegistry()
use_case = REGISTRY.register


def load_use_cases(modules: Iterable[str] = ()) -> None:
    """Import the built-in library, ``modules`` and the installed plug-ins: they register what they have.

    Raises ``UseCaseUnusable`` naming the module that cannot be imported.
    """
    for module in (*BUILT_IN_MODULES, *modules):
        _load(module, partial(importlib.import_module, module))
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        _load(f"{entry_point.name} = {entry_point.value}", entry_point.load)


def run_use_case(
    invocation: Invocation,
    name: str,
    tool_input: JsonValue,
    limits: ToolLimits,
    registry: UseCaseRegistry = REGISTRY,
) -> JsonValue:
    """Call the use case of that name; its own exceptions pass through; raises ``ToolError`` on a misfit."""
    deadline = time.monotonic() + invocation.timeout_s
    use_case = registry.get(name)
    try:
        # A copy: what the function does to it must not reach the definition and the input that other blocks read.
        params = use_case.params.validate_python(deepcopy(tool_input))
    except ValidationError as error:
        raise invalid(f"the input does not fit the use case '{use_case.name}'", error) from None
    arguments = [params]
    if use_case.wants_run:
        arguments.append(_run_context(invocation, deadline, limits))
    result = use_case.function(*arguments)
    try:
        checked = use_case.output.validate_python(result)
    except ValidationError as error:
        raise invalid(f"the use case '{use_case.name}' broke its promise of output", error) from None
    output: JsonValue = use_case.output.dump_python(checked, mode="json")
    return output


def _run_context(invocation: Invocation, deadline: float, limits: ToolLimits) -> RunContext:
    return RunContext(
        execution_id=invocation.execution_id,
        block_id=invocation.block_id,
        workspace_id=invocation.workspace_id,
        idempotency_key=invocation.idempotency_key,
        _log=invocation.log,
        _progress=invocation.progress,
        _deadline=deadline,
        _limits=limits,
        _files=invocation.files,
        _stopped=invocation.stopped,
    )


def _use_case_of(name: str, function: Callable[..., Any]) -> UseCase:
    where = f"use case '{name}': {_origin(function)}"
    if not USE_CASE_NAME.fullmatch(name):
        raise UseCaseUnusable(f"{where}: the name must be words of letters, digits and _, joined by dots")
    if inspect.iscoroutinefunction(function):
        raise UseCaseUnusable(f"{where} is async; use cases are plain functions")
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not 1 <= len(parameters) <= 2 or positional != parameters:
        raise UseCaseUnusable(f"{where} must take (params) or (params, run)")
    missing = [word for word in (parameters[0].name, "return") if word not in hints]
    if missing:
        raise UseCaseUnusable(f"{where} lacks annotations: {', '.join(missing)}")
    if len(parameters) == 2 and hints.get(parameters[1].name) is not RunContext:
        raise UseCaseUnusable(f"{where}: the second parameter must be annotated RunContext")
    return UseCase(
        name=name,
        function=function,
        params=_adapter(hints[parameters[0].name]),
        output=_adapter(hints["return"]),
        wants_run=len(parameters) == 2,
    )


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    # A Mapping is what most untyped use cases say; pydantic would copy it key by key all the same.
    return TypeAdapter(dict[str, JsonValue] if annotation in (dict, Mapping) else annotation)


def _origin(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"


def _load(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except WorkflowError:
        raise
    except Exception as error:
        message = f"cannot load the use cases of '{name}': {type(error).__name__}: {error}"
        raise UseCaseUnusable(message) from error
