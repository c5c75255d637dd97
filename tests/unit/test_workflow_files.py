"""Workflow files: what each spelling gives, and that whatever is wrong is named with its file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from templates_app.workflow_files import WorkflowFileInvalid, load_workflow_file, read_workflow_file
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import parse_dsl, render_dsl, states_of
from workflow_service.engine.errors import Problem
from workflow_service.engine.findings import errors_in
from workflow_service.engine.validation import validate

EXAMPLES = Path(__file__).parents[2] / "examples"
BLOCK = {"blockId": "a", "toolType": "NOOP"}


def keep(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(WorkflowFileInvalid) as refused:
        load_workflow_file(path)
    return refused.value.message.removeprefix(str(path.parent) + "/")


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    body = {
        "name": "n",
        "blocks": [BLOCK],
        "tags": ["on", "2025-01-01"],
        "metadata": {"estimatedDuration": 60},
    }
    spelt = (
        "name: n\nblocks: [{blockId: a, toolType: NOOP}]\ntags: [on, 2025-01-01]\n"
        "metadata: {estimatedDuration: 60}\n"
    )
    assert load_workflow_file(keep(tmp_path / "n.json", json.dumps(body))) == body
    assert load_workflow_file(keep(tmp_path / "n.yaml", spelt)) == body


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    assert load_workflow_file(keep(tmp_path / "orders.yaml", "blocks: []"))["name"] == "orders"
    assert load_workflow_file(keep(tmp_path / "tickets.wf", "start->a;")) == {
        "name": "tickets",
        "dsl": "start->a;",
    }


def test_a_dsl_file_takes_its_states_from_beside_it(tmp_path: Path) -> None:
    path = keep(tmp_path / "n.wf", "start->a;\n")
    keep(tmp_path / "n.states.yaml", "name: Named\nstates:\n  a: {toolType: NOOP}\n")
    assert load_workflow_file(path) == {
        "name": "Named",
        "dsl": "start->a;\n",
        "states": {"a": {"toolType": "NOOP"}},
    }
    keep(tmp_path / "n.states.json", "{}")
    assert refusal(path) == "n.wf: it has states in n.states.yaml and n.states.json (keep one of them)"


def test_states_may_not_bring_a_graph_of_their_own(tmp_path: Path) -> None:
    path = keep(tmp_path / "n.wf", "start->a;")
    keep(tmp_path / "n.states.yaml", "states: {}\nblocks: []\n")
    assert refusal(path) == "n.states.yaml:2:1: 'blocks' does not belong here (the graph is said by n.wf)"


def test_what_blocks_do_lies_under_states(tmp_path: Path) -> None:
    path = keep(tmp_path / "n.wf", "start->a;")
    keep(tmp_path / "n.states.yaml", "a: {toolType: NOOP}\n")
    assert refusal(path).startswith(
        "n.states.yaml:1:1: has no 'states' (put what each block does under 'states:'"
    )


@pytest.mark.parametrize("suffix", ["yaml", "wf"])
def test_a_script_beside_the_file_goes_with_it(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "scripts").mkdir()
    keep(tmp_path / "scripts" / "one.py", "print('ä')\n")
    states = "{toolType: SCRIPT, configuration: {script: one.py, input: 1}}"
    if suffix == "yaml":
        body = load_workflow_file(keep(tmp_path / "n.yaml", f"blocks: [{states}]"))
        block: Any = body["blocks"]
        configuration = block[0]["configuration"]
    else:
        keep(tmp_path / "n.states.yaml", f"states: {{a: {states}}}")
        block = load_workflow_file(keep(tmp_path / "n.wf", "start->a;"))["states"]
        configuration = block["a"]["configuration"]
    assert configuration == {"code": "print('ä')\n", "input": 1}


@pytest.mark.parametrize(
    "script", ["../secret.py", "/etc/hostname", "leads_out.py", "missing.py", "a\\0b", ""]
)
def test_no_script_is_taken_from_elsewhere(tmp_path: Path, script: str) -> None:
    (tmp_path / "scripts").mkdir()
    keep(tmp_path / "secret.py", "secret")
    (tmp_path / "scripts" / "leads_out.py").symlink_to(tmp_path / "secret.py")
    document = {
        "blocks": [
            {"toolType": "SCRIPT", "configuration": {"script": script}},
            "no block",
            {"toolType": None},
        ]
    }
    assert load_workflow_file(keep(tmp_path / "n.json", json.dumps(document))) == {"name": "n", **document}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.yaml", "a: 1\n b: 2\n", "n.yaml:2:3: mapping values are not allowed here"),
        ("n.yaml", "name: x\nname: y\n", "n.yaml:2:1: the key 'name' is given twice"),
        (
            "n.yaml",
            "a: !!python/object:os.system x",
            "n.yaml:1:4: the tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("n.yaml", "a: &a [*a]\n", "n.yaml:1:4: is nested deeper than 100 levels, or holds itself"),
        ("n.yaml", "? [1]\n: 2\n", "n.yaml:1:3: a key must be a text"),
        ("n.yaml", "a: {<<: {b: 1}}", "n.yaml:1:5: '<<' is not read"),
        ("n.yaml", "a: 1e999", "n.yaml:1:4: the number 1e999 is too large"),
        ("n.yaml", "[" * 5_000, "n.yaml: is nested too deep"),
        ("n.yaml", "a: 1\n---\nb: 1\n", "n.yaml:2:1: expected a single document"),
        ("n.yaml", "", "n.yaml: is empty"),
        ("n.yaml", "- 1\n", "n.yaml:1:1: must hold the fields of a template"),
        ("n.yaml", b"a: 1\nb: \xff\n", "n.yaml:2:1: is not UTF-8 (save it as UTF-8)"),
        ("n.yaml", "a: " + "x" * 1_000_000, "n.yaml: is larger than 1,000,000 bytes"),
        ("n.json", '{"a": 1,\n"b": }', "n.json:2:6: is not JSON: Expecting value"),
        ("n.json", '{"a": NaN}', "n.json: is not JSON: NaN is not a JSON number"),
        ("n.json", '{"a": 1, "a": 2}', "n.json: is not JSON: the key 'a' is given twice"),
        ("n.json", "[" * 5_000 + "]" * 5_000, "n.json: is nested deeper than 100 levels"),
        ("n.txt", "", "n.txt: 'n.txt' is no workflow file (its name must end in .json, .yaml, .yml, .wf)"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    assert refusal(keep(tmp_path / name, content)).startswith(message)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "n.yaml") == "n.yaml: cannot be read: No such file or directory"
    assert refusal(tmp_path.with_suffix(".wf")).endswith("cannot be read: No such file or directory")


def test_anchors_do_not_grow_into_a_huge_value(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "the document says more than 200,000 values" in refusal(
        keep(tmp_path / "n.yaml", "\n".join(lines))
    )


@pytest.mark.parametrize(
    ("pointer", "blocks", "line", "place"),
    [
        ("/blocks/0/configuration/useCase", ("a",), None, "n.states.yaml:4:21"),
        ("/blocks/0/configuration", ("a",), None, "n.states.yaml:4:5"),
        ("/states/a/timeout", (), None, "n.states.yaml:3:3"),
        ("/inputSchema/type", (), None, "n.states.yaml:1:1"),
        ("/dsl", (), 3, "n.wf:3:7"),
        ("/gates/0", ("a",), None, "n.wf"),
        ("", (), 3, "n.wf:3:7"),
    ],
)
def test_a_problem_is_placed_in_the_file_that_says_it(
    tmp_path: Path, pointer: str, blocks: tuple[str, ...], line: int | None, place: str
) -> None:
    path = keep(tmp_path / "n.wf", "start->a;\n")
    keep(tmp_path / "n.states.yaml", "inputSchema: 1\nstates:\n  a:\n    configuration: {useCase: x}\n")
    problem = Problem("X", "is wrong", pointer, line=line, column=7 if line else None, blocks=blocks)
    assert read_workflow_file(path).place_of(problem) == f"{tmp_path}/{place}"


def test_a_problem_is_placed_in_json_with_tabs(tmp_path: Path) -> None:
    path = keep(tmp_path / "n.json", '{\n\t"blocks": [\n\t\t{"timeout": -1}\n\t]\n}')
    assert read_workflow_file(path).place_of(Problem("X", "y", "/blocks/0/timeout")) == f"{path}:3:4"


@pytest.mark.parametrize("name", ["order_processing", "cicd_pipeline", "support_ticket"])
def test_the_examples_of_appendix_c_can_be_read_rendered_and_read_again(name: str) -> None:
    body: Any = load_workflow_file(EXAMPLES / "appendix_c" / f"{name}.wf")
    definition = parse_dsl(body["dsl"], body["states"], None, body["inputSchema"])
    again = parse_dsl(
        render_dsl(definition), states_of(definition), definition.global_settings, definition.input_schema
    )
    assert again == definition
    assert errors_in(validate(definition)) == ()
    assert {block.block_id for block in definition.blocks if block.tool_type is None} == set()


def test_the_sales_pipeline_is_valid_and_brings_its_script() -> None:
    body: Any = load_workflow_file(EXAMPLES / "sales_etl" / "workflow.yaml")
    keys = ("blocks", "inputSchema", "globalSettings")
    definition = load_definition({key: body[key] for key in keys})
    assert errors_in(validate(definition)) == ()
    assert "def extract(" in str(definition.block("extract").configuration["code"])
