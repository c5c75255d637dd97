"""What a definition's author is told of people that are not there."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from approvals_app.services.levels import set_level
from templates_app.services.validation import validate_definition
from tests.factories import noop
from tests.people import People, make_people
from workflow_service.engine.documents import load_definition
from workflow_service.engine.findings import Severity

FORM = {"type": "object", "required": ["limit"]}


@pytest.fixture
def people(db: None) -> People:
    people = make_people()
    people.bob.groups.add(Group.objects.create(name="board"))
    set_level(workspace=people.workspace, actor=people.admin, name="BOARD", groups=["board"])
    return people


def told(people: People | None, step: dict[str, Any], **settings: Any) -> list[tuple[str, str]]:
    """Return the code and place of every warning about who is asked."""
    block = noop("load", humanInLoop={"required": True, **step})
    definition = load_definition({"blocks": [block], "globalSettings": settings})
    found = validate_definition(definition, people.workspace if people else None)
    assert all(one.severity is Severity.WARNING and one.suggestion for one in found), found
    return [(one.code, one.pointer.removeprefix("/blocks/0/humanInLoop")) for one in found]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({}, []),
        ({"approvalLevel": "BOARD", "assignees": []}, []),
        ({"approvalLevel": "BORAD"}, [("UNKNOWN_APPROVAL_LEVEL", "/approvalLevel")]),
        ({"approvalLevel": "ANY", "assignees": ["alice"]}, []),
        ({"assignees": ["user:alice", "user:allice"]}, [("UNKNOWN_ASSIGNEE", "/assignees/1")]),
        # There, but their roles do not answer; and a member of another workspace.
        ({"assignees": ["user:dora"]}, [("UNKNOWN_ASSIGNEE", "/assignees/0")]),
        ({"assignees": ["user:sam"]}, [("UNKNOWN_ASSIGNEE", "/assignees/0")]),
        ({"assignees": ["group:board", "role:workflow_admin"]}, []),
        ({"assignees": ["user:alice", "user:bob"], "quorum": 2}, []),
        ({"assignees": ["user:bob", "group:board"], "quorum": 2}, [("QUORUM_TOO_LARGE", "/quorum")]),
        ({"approvalLevel": "BOARD", "quorum": 2}, [("QUORUM_TOO_LARGE", "/quorum")]),
        ({"quorum": 3}, []),
        ({"quorum": 4}, [("QUORUM_TOO_LARGE", "/quorum")]),
        (
            {"escalationChain": [{"approvalLevel": "BOARD"}, {"approvalLevel": "X"}, {"assignees": ["y"]}]},
            [
                ("UNKNOWN_APPROVAL_LEVEL", "/escalationChain/1/approvalLevel"),
                ("UNKNOWN_ASSIGNEE", "/escalationChain/2/assignees/0"),
            ],
        ),
        (
            {"type": "INPUT", "inputSchema": FORM, "onTimeout": "approve"},
            [("TIMEOUT_CANNOT_APPROVE", "/onTimeout")],
        ),
        ({"type": "INPUT", "inputSchema": FORM, "onTimeout": "reject"}, []),
    ],
    ids=range(16),
)
def test_people_that_are_not_there_are_warned_of(
    people: People, step: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert told(people, step) == expected


def test_what_the_defaults_say_is_told_once_and_there(people: People) -> None:
    blocks = [noop(name, humanInLoop={"required": True}) for name in ("one", "two")]
    settings = {
        "humanInLoopDefaults": {"assignees": ["user:nobody"]},
        "defaultRecovery": {"escalate": {"approvalLevel": "NONE"}},
    }
    recovery = {"escalate": {"assignees": ["user:nobody"]}}
    definition = load_definition(
        {"blocks": [*blocks, noop("three", recovery=recovery)], "globalSettings": settings}
    )
    found = validate_definition(definition, people.workspace)
    assert {(one.code, one.pointer) for one in found if one.code.startswith("UNKNOWN")} == {
        ("UNKNOWN_ASSIGNEE", "/globalSettings/humanInLoopDefaults/assignees/0"),
        ("UNKNOWN_ASSIGNEE", "/blocks/2/recovery/escalate/assignees/0"),
        ("UNKNOWN_APPROVAL_LEVEL", "/globalSettings/defaultRecovery/escalate/approvalLevel"),
    }


def test_without_a_workspace_nobody_is_looked_for() -> None:
    assert told(None, {"assignees": ["user:nobody"], "quorum": 9}) == []


def test_of_many_blocks_people_are_read_once(people: People) -> None:
    step = {"required": True, "assignees": ["user:nobody"], "approvalLevel": "X", "quorum": 3}
    costs = []
    # What is known of agents is read once and kept.
    for blocks in (1, 1, 40):
        definition = load_definition({"blocks": [noop(f"b{n}", humanInLoop=step) for n in range(blocks)]})
        with CaptureQueriesContext(connection) as queries:
            validate_definition(definition, people.workspace)
        costs.append(len(queries))
    assert costs[1] == costs[2]
