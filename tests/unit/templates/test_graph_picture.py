"""The picture of a workflow: what is in it, where it goes, and that hostile names stay text."""

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates_app.graph import EdgeStyle, Graph, GraphNode, NodeShape, graph_of
from templates_app.graph_layout import MAX_NODES, GraphTooLarge, Layout, lay_out
from templates_app.graph_svg import render_graph
from workflow_service.engine.documents import load_definition

SVG = "{http://www.w3.org/2000/svg}"


def picture(blocks: list[dict[str, object]], **fields: object) -> Graph:
    return graph_of(load_definition({"blocks": blocks, **fields}))


def test_a_graph_has_start_blocks_gates_and_end() -> None:
    graph = picture(
        [
            {"blockId": "a", "toolType": "NOOP"},
            {"blockId": "b", "humanInLoop": {"required": True}},
            {
                "blockId": "c",
                "dependencies": ["a"],
                "onError": ["a"],
                "conditions": {"branches": [{"condition": "n > 1", "nextBlocks": ["end"]}]},
            },
        ],
        gates=[{"sources": ["a", "b"], "nextBlocks": ["c"]}],
    )
    shapes = {node.id: node.shape for node in graph.nodes}
    assert shapes == {
        "start": NodeShape.TERMINAL,
        "a": NodeShape.BLOCK,
        "b": NodeShape.BLOCK,
        "c": NodeShape.BLOCK,
        "[a,b]": NodeShape.GATE,
        "end": NodeShape.TERMINAL,
    }
    edges = {(edge.source, edge.target): (edge.style, edge.label) for edge in graph.edges}
    assert edges["c", "end"] == (EdgeStyle.CONDITION, "n > 1")
    assert edges["c", "a"] == (EdgeStyle.ERROR, "on failure")
    assert edges["start", "b"] == (EdgeStyle.NORMAL, "")
    assert ("start", "c") not in edges
    assert {node.id for node in graph.nodes if node.asks_people} == {"b"}


def test_an_edge_to_nowhere_is_left_out() -> None:
    graph = picture([{"blockId": "a", "dependencies": ["gone"]}])
    assert [(edge.source, edge.target) for edge in graph.edges] == [("start", "a")]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    nodes = [f"n{number}" for number in range(draw(st.integers(1, 12)))]
    pairs = st.tuples(st.sampled_from(nodes), st.sampled_from(nodes))
    return nodes, draw(st.lists(pairs, max_size=30, unique=True))


def rows_by_column(layout: Layout) -> dict[float, list[float]]:
    columns: dict[float, list[float]] = defaultdict(list)
    for column, row in layout.positions.values():
        columns[column].append(row)
    return columns


@given(graphs())
def test_nodes_keep_apart_and_edges_run_forward(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, edges = graph
    layout = lay_out(nodes, edges)
    assert layout.positions.keys() == set(nodes)
    assert layout.routes.keys() == set(edges)
    for rows in rows_by_column(layout).values():
        ordered = sorted(rows)
        assert all(later - earlier > 0.999 for earlier, later in pairwise(ordered))
        assert ordered[0] >= 0
        assert ordered[-1] <= layout.rows - 1 + 1e-9
    for pair in set(edges) - layout.back_edges:
        columns = [column for column, _ in layout.routes[pair]]
        assert columns == list(range(int(columns[0]), int(columns[-1]) + 1))
        assert len(columns) >= 2
    assert lay_out(nodes, edges) == layout


@given(graphs())
def test_without_its_back_edges_a_graph_has_no_cycle(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, edges = graph
    layout = lay_out(nodes, edges)
    for source, target in set(edges) - layout.back_edges:
        assert layout.positions[source][0] < layout.positions[target][0]


def test_parallel_blocks_stand_beside_one_another_around_their_join() -> None:
    edges = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "e"), ("c", "e"), ("d", "e")]
    places = lay_out(["a", "b", "c", "d", "e"], edges).positions
    assert [places[name][0] for name in "abcde"] == [0, 1, 1, 1, 2]
    assert places["a"][1] == places["c"][1] == places["e"][1]


def test_a_graph_that_nobody_could_read_is_not_drawn() -> None:
    nodes = [f"n{number}" for number in range(MAX_NODES + 1)]
    with pytest.raises(GraphTooLarge):
        lay_out(nodes, [])
    few = nodes[:60]
    everything = [(source, target) for index, source in enumerate(few) for target in few[index + 1 :]]
    with pytest.raises(GraphTooLarge):
        lay_out(few, everything)


def test_a_deep_chain_is_laid_out_without_recursion() -> None:
    nodes = [f"n{number}" for number in range(MAX_NODES)]
    edges = list(pairwise(nodes))
    assert lay_out(nodes, edges).columns == MAX_NODES


HOSTILE = "<script>alert('x')</script> & \"quoted\""


def test_names_and_conditions_are_text_and_colours_follow_statuses() -> None:
    graph = picture(
        [
            {
                "blockId": "a",
                "name": HOSTILE,
                "conditions": {"branches": [{"condition": "x == '<b>'", "nextBlocks": ["b"]}]},
            },
            {"blockId": "b"},
        ]
    )
    svg = render_graph(graph, title=HOSTILE, statuses={"a": "FAILED"}, outcomes={("a", "b"): "lost"})
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == HOSTILE
    assert [element.tag for element in root.iter() if element.tag == f"{SVG}script"] == []
    assert HOSTILE in [(title.text or "").split(": FAILED")[0] for title in root.iter(f"{SVG}title")]
    link = root.find(f"{SVG}a")
    assert link is not None
    assert link.get("href") == "#block-a"
    assert "wf-tone-bad" in str(link.get("class"))
    looks = [str(path.get("class")) for path in root.iter(f"{SVG}path")]
    assert any("wf-edge-lost" in look for look in looks)
    assert not any("style" in element.attrib for element in root.iter())


def test_an_edge_back_goes_below() -> None:
    graph = Graph((GraphNode("a", "a"), GraphNode("b", "b")), ())
    loop = picture(
        [
            {"blockId": "a", "dependencies": ["start"]},
            {
                "blockId": "b",
                "dependencies": ["a"],
                "conditions": {"branches": [{"condition": "again", "nextBlocks": ["a"]}]},
            },
        ]
    )
    assert "wf-back" in render_graph(loop, title="loop")
    assert "wf-back" not in render_graph(graph, title="two")
