"""Compiled versions, cached per process: a version never changes, so neither does its plan."""

from dataclasses import dataclass
from functools import lru_cache

from templates_app.models import TemplateVersion
from workflow_service.engine.definition import Definition, JsonObject
from workflow_service.engine.documents import load_definition
from workflow_service.engine.plan import Plan, compile_plan


@dataclass(frozen=True, slots=True)
class CompiledVersion:
    """A version's definition and its plan, the public id of its template, and the files it is pinned to."""

    definition: Definition
    plan: Plan
    template_id: str
    pinned: JsonObject


@lru_cache(maxsize=256)
def compiled_version(version_id: int) -> CompiledVersion:
    """Return the compiled version of that id; raises ``TemplateVersion.DoesNotExist``."""
    found = TemplateVersion.objects.values_list("definition", "template__public_id", "pinned")
    document, template_id, pinned = found.get(pk=version_id)
    definition = load_definition(document)
    return CompiledVersion(definition, compile_plan(definition), template_id, pinned)
