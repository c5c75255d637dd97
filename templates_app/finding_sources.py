"""What apps above this one have to say about a definition, as who approves is not known here.

``approvals_app`` registers its source here when it is loaded.
"""

from collections.abc import Callable, Iterable, Iterator

from workflow_service.accounts.models import Workspace
from workflow_service.engine.definition import Definition
from workflow_service.engine.findings import Finding

FindingSource = Callable[[Definition, Workspace | None], Iterable[Finding]]

_sources: list[FindingSource] = []


def register_finding_source(source: FindingSource) -> None:
    """Add a source; to add it again changes nothing."""
    if source not in _sources:
        _sources.append(source)


def registered_findings(definition: Definition, workspace: Workspace | None) -> Iterator[Finding]:
    """Yield what the other apps find in ``definition``."""
    for source in _sources:
        yield from source(definition, workspace)
