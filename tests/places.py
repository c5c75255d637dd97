"""Where the rows of a run stood, named as the reference interpreter names it."""

from executions_app.models import BlockExecution, Execution, Scope
from tests.reference.areas import Path, Place
from workflow_service.engine.plan import END_NODE, Plan


def current_rows(execution: Execution) -> list[BlockExecution]:
    return list(BlockExecution.objects.filter(execution=execution, superseded=False).exclude(kind="item"))


def paths_by_scope(execution: Execution) -> dict[int, Path]:
    """Return for each scope the rounds around it, the outermost first."""
    paths: dict[int, Path] = {0: ()}
    for scope in Scope.objects.filter(execution=execution, kind="loop").order_by("pk"):
        around = paths[scope.parent_scope_id]
        paths[scope.pk] = (*around, scope.parent_index) if scope.parent_scope_id else ()
    return paths


def place_of(row: BlockExecution, paths: dict[int, Path]) -> Place:
    return row.block_id, (*paths[row.scope_id], row.item_index) if row.scope_id else ()


def placed_statuses(execution: Execution) -> dict[Place, str]:
    """Return how each node that was decided ended, where it stood."""
    paths = paths_by_scope(execution)
    return {place_of(row, paths): row.status for row in current_rows(execution) if row.status != "PENDING"}


def edges(execution: Execution, plan: Plan) -> dict[tuple[str, str, bool, Path], str]:
    """Return what became of each edge, as the rows remember it."""
    paths = paths_by_scope(execution)
    found = {}
    for row in current_rows(execution):
        for index, outcome in (row.outcomes or {}).items():
            edge = plan.edges[int(index)]
            target = "end" if edge.target == END_NODE else plan.nodes[edge.target].id
            name, path = place_of(row, paths)
            found[name, target, edge.kind.value == "error", path] = outcome
    return found
