"""Whether the secrets that a workflow names exist in its workspace."""

import difflib
from collections.abc import Iterator

from workflow_service.accounts.models import Workspace
from workflow_service.engine.findings import Finding, Severity
from workflow_service.engine.plan import Plan
from workflow_service.engine.secret_places import secret_places
from workflow_service.vault.secrets import secret_names


def unknown_secrets(plan: Plan, workspace: Workspace) -> Iterator[Finding]:
    """Yield a finding for each secret that the workspace does not have, with the nearest name."""
    named = [(node, place) for node in plan.nodes for place in secret_places(node)]
    if not named:
        return
    known = secret_names(workspace.pk)
    for node, place in named:
        for name in sorted(place.names - known):
            near = difflib.get_close_matches(name, known, n=1)
            yield Finding(
                "UNKNOWN_SECRET",
                f"the workspace has no secret '{name}'",
                pointer=place.pointer,
                suggestion=f"did you mean '{near[0]}'?"
                if near
                else f"keep it: POST /api/v1/secrets as '{name}'",
                blocks=(node.id,),
                severity=Severity.ERROR,
            )
