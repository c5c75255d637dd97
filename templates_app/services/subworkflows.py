"""Whether the templates that a definition's blocks start are there, and may be started."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from templates_app.deprecation import deprecation_findings
from templates_app.models import Template, TemplateVersion
from workflow_service.accounts.models import Workspace
from workflow_service.engine.definition import Definition
from workflow_service.engine.findings import Finding, nearest_name_hint
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.states import TemplateStatus, ToolType

REFERENCE = "${"
MAX_SUGGESTED = 1_000


@dataclass(frozen=True, slots=True)
class _Call:
    """One block that starts a template by its id; what ``${…}`` names is known only when it runs."""

    block_id: str
    pointer: str
    template_id: str
    version: str | None


def subworkflow_findings(
    definition: Definition, workspace: Workspace, template: Template | None = None
) -> Iterator[Finding]:
    """Yield what keeps the templates that the blocks start from being started in ``workspace``.

    ``template`` is the one that the definition belongs to, if it is saved: it must not start itself. Longer circles
    are bounded when they run. Two queries, however many blocks there are.
    """
    calls = list(_calls(definition))
    if not calls:
        return
    names = {call.template_id for call in calls}
    known = {
        found.public_id: found for found in Template.objects.filter(workspace=workspace, public_id__in=names)
    }
    versions = _versions_of(known) if any(call.version for call in calls) else {}
    for call in calls:
        yield from _wrong_with(call, known, versions, workspace, template)


def _wrong_with(
    call: _Call,
    known: dict[str, Template],
    versions: dict[str, set[str]],
    workspace: Workspace,
    template: Template | None,
) -> Iterator[Finding]:
    def finding(code: str, message: str, suggestion: str, field: str = "template") -> Finding:
        return Finding(code, message, f"{call.pointer}/{field}", suggestion, blocks=(call.block_id,))

    found = known.get(call.template_id)
    if found is None:
        others = Template.objects.filter(workspace=workspace, status=TemplateStatus.ACTIVE)
        hint = nearest_name_hint(call.template_id, others.values_list("public_id", flat=True)[:MAX_SUGGESTED])
        message = f"there is no template '{call.template_id[:64]}' in this workspace"
        yield finding(
            "UNKNOWN_TEMPLATE", message, hint or "Give the id of a template, as GET /templates lists them"
        )
    elif template is not None and found.pk == template.pk:
        message = f"'{call.block_id}' would start its own template, and that one itself again"
        yield finding("TEMPLATE_STARTS_ITSELF", message, "Write a loop, or start another template")
    elif found.status in (TemplateStatus.DRAFT, TemplateStatus.ARCHIVED):
        mend = "Publish it first" if found.status == TemplateStatus.DRAFT else "Start another template"
        message = f"the template '{found.public_id}' is {found.status}, and cannot be started"
        yield finding("TEMPLATE_NOT_ACTIVE", message, mend)
    elif call.version is not None and call.version not in versions.get(found.public_id, ()):
        message = f"the template '{found.public_id}' has no version '{call.version[:32]}'"
        yield finding("UNKNOWN_VERSION", message, "Leave it out for the current one", "version")
    else:
        for one in deprecation_findings(found):
            yield replace(one, pointer=f"{call.pointer}/template", blocks=(call.block_id,))


def _versions_of(known: dict[str, Template]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {public_id: set() for public_id in known}
    rows = TemplateVersion.objects.filter(template__in=known.values())
    for public_id, ordinal, label in rows.values_list("template__public_id", "ordinal", "label"):
        names[public_id] |= {str(ordinal), label}
    return names


def _calls(definition: Definition) -> Iterator[_Call]:
    for index, block in enumerate(definition.blocks):
        template_id, version = block.configuration.get("template"), block.configuration.get("version")
        literal = isinstance(template_id, str) and REFERENCE not in template_id
        if block.tool_type is ToolType.SUBWORKFLOW and literal:
            named = version is not None and REFERENCE not in str(version)
            pointer = json_pointer("blocks", index, "configuration")
            yield _Call(block.block_id, pointer, str(template_id), str(version) if named else None)
