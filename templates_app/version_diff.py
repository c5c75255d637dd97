"""Everything in which two versions of a template differ: what their definitions say, and the files pinned with them."""

from dataclasses import dataclass

from templates_app.models import TemplateVersion
from templates_app.pinned_files import pinned_contents
from workflow_service.engine.definition_diff import (
    DefinitionDiff,
    FieldChange,
    diff_definitions,
    diff_fields,
)
from workflow_service.engine.documents import load_definition


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """``files`` are changes of the contents of scripts and schemas, as texts."""

    definition: DefinitionDiff
    files: tuple[FieldChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the two versions are the same."""
        return self.definition.is_empty and not self.files


def diff_versions(older: TemplateVersion, newer: TemplateVersion) -> VersionDiff:
    """Return what ``newer`` says that ``older`` does not; raises ``InvalidDefinition`` where one cannot be read."""
    before, after = load_definition(older.definition), load_definition(newer.definition)
    workspace_id = newer.template.workspace_id
    old_files, new_files = (
        pinned_contents(version.pinned, definition, workspace_id)
        for version, definition in ((older, before), (newer, after))
    )
    files = diff_fields({"files": old_files}, {"files": new_files})
    return VersionDiff(diff_definitions(before, after), files)
