"""Document B's Appendix C through its own door: each workflow translated, executed down every branch, and explained.

What the states of the three do in earnest is in ``examples/appendix_c``, and tested there.
"""

from typing import Any

import pytest

from executions_app.models import Execution
from tests.caller import Caller
from tests.conformance.appendix_c import END, EXAMPLES, Drawing, Example, Way
from tests.driver import run_until_quiet
from tests.house import make_house

pytestmark = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())


@pytest.fixture
def developer(transactional_db: None) -> Caller:
    return make_house().caller()


@pytest.fixture
def reader(db: None) -> Caller:
    """A developer who runs nothing: only runs commit transactions of their own."""
    return make_house().caller()


def made_of(developer: Caller, drawing: Drawing) -> dict[str, Any]:
    """Make the workflow that a drawing draws, with states that do what a run's input says."""
    answer = developer.post("workflows", {"name": "C", "dsl": drawing.dsl, "states": drawing.states})
    assert answer.status_code == 201, answer.content.decode()
    made: dict[str, Any] = answer.json()
    assert made["status"] == "active", made["findings"]
    return made


def went(developer: Caller, workflow_id: int, drawing: Drawing, way: Way) -> set[tuple[str, str]]:
    """Execute a workflow down a way; return the ways between states that it took."""
    body = {"initial_context": drawing.given(way)}
    started = developer.post(f"workflows/{workflow_id}/execute", body).json()
    run_until_quiet(Execution.objects.get(public_id=started["execution_id"]))
    path = f"executions/{started['execution_id']}"
    shown = developer.get(path).json()
    expected = {"start", *way.visited.split()} | (set() if way.error else {END})
    assert set(shown["states_visited"]) == expected, shown["error"]
    assert shown["status"] == ("failed" if way.error else "completed"), shown["error"]
    assert (shown["error"] or {}).get("type", "") == way.error
    history = developer.get(f"{path}/history").json()
    return {(one["from_state"], one["to_state"]) for one in history["transitions"]}


def executed_down_every_branch(developer: Caller, drawing: Drawing) -> None:
    made = made_of(developer, drawing)
    taken: set[tuple[str, str]] = set()
    for way in drawing.ways.values():
        taken |= went(developer, made["id"], drawing, way)
    assert drawing.edges <= taken, drawing.edges - taken


def test_its_drawing_is_executed_down_every_branch(developer: Caller, example: Example) -> None:
    executed_down_every_branch(developer, example.drawn)


def test_its_words_are_translated_and_executed_down_every_branch(developer: Caller, example: Example) -> None:
    translation = developer.post("workflows/translate", {"nl_description": example.english}).json()
    assert translation["method"] == "rules"
    # Whoever does the work: the states do what the run's input says instead.
    executed_down_every_branch(developer, Drawing(translation["dsl"], example.translated))
    made = developer.post("workflows", {"nl_description": example.english}).json()
    assert (made["status"], made["dsl"]) == ("active", translation["dsl"])
    assert all(state["callback_type"] for state in made["states"]), "every state has work behind it"


def test_it_is_explained(reader: Caller, example: Example) -> None:
    made = made_of(reader, example.drawn)
    said = reader.post(f"workflows/{made['id']}/explain").json()
    assert said["method"] == "rules"
    assert all(words in said["explanation"] for words in example.told), said["explanation"]
    assert said["explanation"].startswith(f"This workflow has {len(example.drawn.names)} steps.")
