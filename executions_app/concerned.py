"""Whom a run concerns, by name: who started it, and whom its workflow names for a block that cannot be saved.

Nothing is sent from here. The names stand in events and log lines, where people and programs that follow them find
what is theirs.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from executions_app.recovery_policy import policy_for
from executions_app.settlement import Settler
from workflow_service.engine.definition import Block

STARTER = """
    SELECT u.username FROM executions_app_execution e JOIN accounts_user u ON u.id = e.created_by_id WHERE e.id = %s
"""


def concerned_by(settler: Settler, row: Any, block: Block) -> dict[str, JsonValue]:
    """Return whom it concerns that a block's recovery is given up (document A section 7.5: "notify stakeholders")."""
    escalation = policy_for(settler, row, block).escalation
    return {
        "startedBy": settler.tx.one(STARTER, (settler.run.id,)).username,
        "assignees": list[JsonValue](escalation.assignees) if escalation else [],
    }


def names_of(concerned: Mapping[str, JsonValue]) -> str:
    """Return the names in what ``concerned_by`` returned, for people."""
    assignees = concerned["assignees"]
    others = assignees if isinstance(assignees, list) else []
    return ", ".join(dict.fromkeys(str(name) for name in (concerned["startedBy"], *others)))
