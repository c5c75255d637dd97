"""A workflow's graph as an SVG picture, made on the server and styled by the page's style sheet.

It holds no style of its own and no script, so it passes a strict content security policy. Colours are never
the only sign: a status has its glyph and its word.
"""

from collections.abc import Mapping
from html import escape
from itertools import pairwise

from django.utils.safestring import SafeString, mark_safe

from templates_app.graph import EdgeStyle, Graph, GraphEdge, GraphNode, NodeShape
from templates_app.graph_layout import Layout, Pair, lay_out
from workflow_service.badges import GLYPHS, tone_of

NODE_WIDTH, NODE_HEIGHT = 204, 54
ROW_GAP, COLUMN_GAP, LABELLED_GAP = 26, 46, 128
SMALL_HALF_WIDTH, WAYPOINT_WIDTH = 15.0, 20.0
MARGIN = 28
NAME_CHARACTERS, LABEL_CHARACTERS = 23, 18

# A picture says which of these widths it is beyond, so that a style sheet knows when it does not fit.
WIDTHS = (320, 480, 640, 800, 1_000, 1_200, 1_500)

MARKERS = ("plain", "taken", "dead", "lost", "error")

Point = tuple[float, float]


def render_graph(
    graph: Graph,
    *,
    title: str,
    statuses: Mapping[str, str] | None = None,
    outcomes: Mapping[Pair, str] | None = None,
) -> SafeString:
    """Return the picture; ``statuses`` by node and ``outcomes`` by edge colour it. Raises ``GraphTooLarge``.

    A node with a status links to ``#block-ID`` of its page.
    """
    layout = lay_out([node.id for node in graph.nodes], [(edge.source, edge.target) for edge in graph.edges])
    picture = _Picture(graph, layout, statuses or {}, outcomes or {})
    return mark_safe(picture.draw(title))  # noqa: S308 - every text in it is escaped


class _Picture:
    """One picture being drawn."""

    def __init__(
        self, graph: Graph, layout: Layout, statuses: Mapping[str, str], outcomes: Mapping[Pair, str]
    ) -> None:
        self.graph = graph
        self.layout = layout
        self.statuses = statuses
        self.outcomes = outcomes
        self.nodes = {node.id: node for node in graph.nodes}
        self.row = NODE_HEIGHT + ROW_GAP
        self.centres, self.width = self._columns()

    def _columns(self) -> tuple[list[float], float]:
        """Return the middle of each column and the width of all of them.

        A column is as wide as its widest node, and the gap after it has room for conditions if there are any.
        """
        widths = [WAYPOINT_WIDTH] * self.layout.columns
        gaps = [COLUMN_GAP] * self.layout.columns
        for node in self.graph.nodes:
            column = int(self.layout.positions[node.id][0])
            widths[column] = max(widths[column], 2 * self._half_width(node.id))
        for edge in self.graph.edges:
            if edge.label and not self._runs_back(edge):
                gaps[int(self.layout.positions[edge.source][0])] = LABELLED_GAP
        centres, left, right = [], float(MARGIN), 0.0
        for width, gap in zip(widths, gaps, strict=True):
            centres.append(left + width / 2)
            right, left = left + width, left + width + gap
        return centres, right + MARGIN

    def draw(self, title: str) -> str:
        width = self.width
        height = (self.layout.rows - 1) * self.row + NODE_HEIGHT + 2 * MARGIN
        if self.layout.back_edges:
            height += ROW_GAP + MARGIN
        beyond = "".join(f" wf-over-{limit}" for limit in WIDTHS if width > limit)
        parts = [
            f'<svg class="wf-graph{beyond}" role="group" aria-label="{escape(title)}" '
            f'width="{width:g}" height="{height:g}" '
            f'viewBox="0 0 {width:g} {height:g}" xmlns="http://www.w3.org/2000/svg">',
            f"<title>{escape(title)}</title>",
            "<defs>",
            *(self._marker(name) for name in MARKERS),
            "</defs>",
            *(self._edge(edge) for edge in self.graph.edges),
            *(self._node(node) for node in self.graph.nodes),
            *(self._label(edge) for edge in self.graph.edges if edge.label),
            "</svg>",
        ]
        return "".join(parts)

    @staticmethod
    def _marker(name: str) -> str:
        return (
            f'<marker id="wf-arrow-{name}" class="wf-arrow wf-edge-{name}" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
        )

    def _centre(self, place: Point) -> Point:
        column, row = place
        return self.centres[int(column)], MARGIN + NODE_HEIGHT / 2 + row * self.row

    def _half_width(self, node_id: str) -> float:
        return NODE_WIDTH / 2 if self.nodes[node_id].shape is NodeShape.BLOCK else SMALL_HALF_WIDTH

    def _node(self, node: GraphNode) -> str:
        x, y = self._centre(self.layout.positions[node.id])
        status = self.statuses.get(node.id, "")
        words = f"{node.label}: {status or node.detail}" if status or node.detail else node.label
        body = f"<title>{escape(words)}</title>{self._shape(node, x, y, status)}"
        kind = f"wf-node wf-{node.shape} {f'wf-tone-{tone_of(status)}' if status else ''}".strip()
        if status and node.shape is NodeShape.BLOCK:
            return (
                f'<a href="#block-{escape(node.id)}" class="{kind}" aria-label="{escape(words)}">{body}</a>'
            )
        return f'<g class="{kind}">{body}</g>'

    def _shape(self, node: GraphNode, x: float, y: float, status: str) -> str:
        if node.shape is NodeShape.TERMINAL:
            return (
                f'<circle cx="{x:g}" cy="{y:g}" r="13"/>'
                f'<text class="wf-small" x="{x:g}" y="{y + 28:g}" text-anchor="middle">'
                f"{escape(node.label)}</text>"
            )
        if node.shape is NodeShape.GATE:
            points = f"{x - 15:g},{y:g} {x:g},{y - 15:g} {x + 15:g},{y:g} {x:g},{y + 15:g}"
            return (
                f'<polygon points="{points}"/><text x="{x:g}" y="{y + 4:g}" text-anchor="middle">&amp;</text>'
            )
        left, top = x - NODE_WIDTH / 2, y - NODE_HEIGHT / 2
        person = '<tspan class="wf-person">asks a person</tspan>' if node.asks_people else ""
        detail = f"{node.detail} · " if person and node.detail else node.detail
        glyph = GLYPHS.get(status, "")
        badge = (
            f'<circle class="wf-dot" cx="{left + 20:g}" cy="{y:g}" r="10"/>'
            f'<text class="wf-glyph" x="{left + 20:g}" y="{y + 4:g}" text-anchor="middle">{glyph}</text>'
            if glyph
            else ""
        )
        start = left + (38 if glyph else 14)
        limit = NAME_CHARACTERS - (3 if glyph else 0)
        return (
            f'<rect x="{left:g}" y="{top:g}" width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="7"/>{badge}'
            f'<text class="wf-name" x="{start:g}" y="{y - 3:g}">{escape(_cut(node.label, limit))}</text>'
            f'<text class="wf-small" x="{start:g}" y="{y + 14:g}">{escape(detail)}{person}</text>'
        )

    def _points(self, edge: GraphEdge) -> list[Point]:
        """Return where an edge leaves, the waypoints it passes, and where it arrives."""
        route = [self._centre(place) for place in self.layout.routes[edge.source, edge.target]]
        first, last = route[0], route[-1]
        return [
            (first[0] + self._half_width(edge.source), first[1]),
            *route[1:-1],
            (last[0] - self._half_width(edge.target), last[1]),
        ]

    def _edge(self, edge: GraphEdge) -> str:
        name = self._look(edge)
        path = self._back_path(edge) if self._runs_back(edge) else self._forward_path(edge)
        style = f"wf-edge wf-edge-{name}{' wf-back' if self._runs_back(edge) else ''}"
        if edge.style is EdgeStyle.ERROR:
            style += " wf-on-error"
        return f'<path class="{style}" d="{path}" marker-end="url(#wf-arrow-{name})"/>'

    def _look(self, edge: GraphEdge) -> str:
        outcome = self.outcomes.get((edge.source, edge.target))
        if outcome in MARKERS:
            return outcome
        return "error" if edge.style is EdgeStyle.ERROR else "plain"

    def _runs_back(self, edge: GraphEdge) -> bool:
        return (edge.source, edge.target) in self.layout.back_edges

    def _forward_path(self, edge: GraphEdge) -> str:
        points = self._points(edge)
        path = f"M{points[0][0]:g} {points[0][1]:g}"
        for (x1, y1), (x2, y2) in pairwise(points):
            reach = (x2 - x1) / 2
            path += f"C{x1 + reach:g} {y1:g} {x2 - reach:g} {y2:g} {x2:g} {y2:g}"
        return path

    def _back_path(self, edge: GraphEdge) -> str:
        (x1, y1), (x2, y2) = (self._centre(self.layout.positions[end]) for end in (edge.source, edge.target))
        y1, y2 = y1 + NODE_HEIGHT / 2, y2 + NODE_HEIGHT / 2
        low = max(y1, y2) + ROW_GAP + 14
        return f"M{x1 - 12:g} {y1:g}C{x1 - 12:g} {low:g} {x2 + 12:g} {low:g} {x2 + 12:g} {y2:g}"

    def _label(self, edge: GraphEdge) -> str:
        if self._runs_back(edge):
            (x1, y1), (x2, y2) = (
                self._centre(self.layout.positions[end]) for end in (edge.source, edge.target)
            )
            x, y = (x1 + x2) / 2, max(y1, y2) + NODE_HEIGHT / 2 + ROW_GAP + 10
        else:
            (x1, y1), (x2, y2) = self._points(edge)[:2]
            # In the middle of the gap after the source, where the curve is by then.
            share = min(LABELLED_GAP / 2 / (x2 - x1), 1.0)
            x, y = x1 + LABELLED_GAP / 2, y1 + (y2 - y1) * share * share * (3 - 2 * share) - 8
        text = escape(_cut(edge.label, LABEL_CHARACTERS))
        return (
            f'<text class="wf-label" x="{x:g}" y="{y:g}" text-anchor="middle">'
            f"<title>{escape(edge.label)}</title>{text}</text>"
        )


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
