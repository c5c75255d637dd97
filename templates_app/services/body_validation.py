"""Everything there is to say about a body as it was posted, in one round, whatever is wrong with it.

A fault in the header does not hide one in the graph, and a block that cannot be read does not hide what is wrong with
the others. Of a text in the DSL each finding has its line and column, of its states a pointer into those.
"""

from collections.abc import Mapping
from typing import Any

from templates_app.bodies import TemplateBody, header_problems
from templates_app.models import Template
from templates_app.services.validation import validate_definition
from workflow_service.accounts.models import Workspace
from workflow_service.api_serializers import check_object
from workflow_service.engine.dsl_places import DslPlaces
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.partial import PartialDefinition, problems_as_findings, read_document, read_dsl
from workflow_service.settings.config import get_config

_PARTS = {
    "blocks": "blocks",
    "gates": "gates",
    "endDependencies": "end_dependencies",
    "inputSchema": "input_schema",
    "globalSettings": "global_settings",
}


def validate_body(
    body: object, workspace: Workspace | None = None, template: Template | None = None
) -> tuple[Finding, ...]:
    """Return every finding about a template's body, errors first; creating it would find no others.

    ``workspace`` and ``template`` as for ``validate_definition``.
    """
    data, problems = check_object(TemplateBody, body)
    problems += header_problems(data, data.get("metadata") or {}) if data else []
    found = problems_as_findings(problems)
    if isinstance(body, Mapping):
        found += _about_definition(body, problems, workspace, template)
    order = list(Severity)
    unique = {(one.code, one.pointer, one.line, one.column, one.message): one for one in found}
    return tuple(sorted(unique.values(), key=lambda one: order.index(one.severity)))


def _about_definition(
    body: Mapping[str, Any],
    problems: list[Problem],
    workspace: Workspace | None,
    template: Template | None,
) -> list[Finding]:
    is_text = isinstance(body.get("dsl"), str)
    if not is_text and not isinstance(body.get("blocks"), list):
        return []
    read = _read_text(body) if is_text else _read_parts(body)
    said = {problem.pointer for problem in problems}
    found = [one for one in problems_as_findings(read.problems) if one.pointer not in said or not one.pointer]
    if is_text:
        found = [_in_text(one) for one in found]
    definition = read.definition
    if definition is None:
        return found
    files = None if any(place.startswith("/files") for place in said) else body.get("files")
    findings = validate_definition(definition, workspace, template, files)
    checked = [one for one in findings if read.stands(one)]
    if is_text:
        states = body.get("states")
        places = DslPlaces(read.transitions, states.keys() if isinstance(states, Mapping) else ())
        checked = [places.placed(one, definition) for one in checked]
    return found + checked


def _read_parts(body: Mapping[str, Any]) -> PartialDefinition:
    document = {key: _part(body, key, name) for key, name in _PARTS.items()}
    return read_document({key: value for key, value in document.items() if value is not None})


def _read_text(body: Mapping[str, Any]) -> PartialDefinition:
    return read_dsl(
        body["dsl"],
        body.get("states"),
        _part(body, "globalSettings", "global_settings"),
        _part(body, "inputSchema", "input_schema"),
        max_bytes=get_config().dsl_max_bytes,
    )


def _part(body: Mapping[str, Any], key: str, name: str) -> Any:
    return body.get(key, body.get(name))


def _in_text(one: Finding) -> Finding:
    """A place in the text is a place in the body's ``dsl``."""
    if one.line is None or one.pointer:
        return one
    fields = {name: getattr(one, name) for name in Finding.__dataclass_fields__}
    return Finding(**{**fields, "pointer": "/dsl"})
