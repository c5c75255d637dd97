"""A fallback, and work that undoes, must not take over a tool that waits or asks from its block."""

from typing import Any

import pytest

from templates_app.services.validation import validate_definition
from workflow_service.engine.documents import load_definition

WAIT = {"toolType": "WAIT", "configuration": {"duration": 5}}
CALL = {"toolType": "SUBWORKFLOW", "configuration": {"template": "tpl_x"}}
HUMAN = {"toolType": "HUMAN", "humanInLoop": {"required": True}}


def findings(block: dict[str, Any], name: str, work: dict[str, Any]) -> list[tuple[str, str]]:
    block = {"blockId": "a", **block, "recovery": {name: work}}
    found = validate_definition(load_definition({"blocks": [block]}))
    return [(one.code, one.pointer) for one in found]


@pytest.mark.parametrize("name", ["fallback", "compensate"])
@pytest.mark.parametrize("block", [WAIT, CALL, HUMAN], ids=lambda block: block["toolType"])
def test_an_inherited_tool_is_held_to_what_a_named_one_is(block: dict[str, Any], name: str) -> None:
    work = {"configuration": block.get("configuration", {})}
    assert findings(block, name, work) == [("BAD_STAND_IN", f"/blocks/0/recovery/{name}")]
    assert findings(block, name, {"toolType": "NOOP"}) == []
    assert findings({"toolType": "NOOP"}, name, {}) == []
