"""The one rule, simulated so naively that it is right at sight; it shares nothing with the engine.

A run is an area: nodes, and loops that are one block each. A round of a loop is an area too. Tokens lie on the
wires: *taken*, *dead* or *lost*. Sweep after sweep over everything there is, whatever can be decided is decided,
until nothing changes; then a block may start or finish, and the sweeps begin again. No counters, no order, no
plan: only the tokens that lie there.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from tests.reference.areas import Area, Path, Place, Token
from tests.reference.conditions import Unevaluable, holds
from tests.reference.graph import END, Graph, Loop, Node, Wire
from tests.reference.script import CANCELLED, COMPLETED, FAILED, REJECTED, SKIPPED, Line, Script, result_of

READY = "READY"
FINAL = (COMPLETED, FAILED, REJECTED, SKIPPED)


class Interpreter:
    """One run of ``definition``; drive it with ``begin``, then ``start`` and ``finish`` until nothing is open."""

    def __init__(self, definition: Mapping[str, Any], script: Script) -> None:
        self.graph = Graph(definition)
        self.policy = definition.get("globalSettings", {}).get("onFailure", "fail")
        self.script = script
        self.top = Area(None)
        self.areas: dict[Place, Area] = {}
        self.statuses: dict[Place, str] = {}
        self.edges: dict[tuple[Wire, Path], str] = {}
        self.ready: list[Place] = []
        self.running: list[Place] = []
        self.run_counts: dict[str, int] = {}
        self.context: dict[str, Any] = {}
        self.outputs: dict[str, Mapping[str, Any]] = {}
        self.unhandled: list[tuple[str, Path]] = []
        self.limits: list[tuple[str, int]] = []
        self.failing = False
        self._fresh: list[Place] = []

    # What moves the run on

    def begin(self) -> None:
        """Begin the run: whatever needs nothing but the start becomes ready."""
        self._settle()

    def start(self, place: Place) -> Line:
        """Start a ready block, and return how this run of it will end."""
        self.ready.remove(place)
        self.running.append(place)
        name, _ = place
        self.run_counts[name] = self.run_counts.get(name, 0) + 1
        return self.line(name)

    def finish(self, place: Place) -> None:
        """Finish a running block as its line says, and decide everything that follows."""
        self.running.remove(place)
        name, _ = place
        area, node, line = self.areas[place], self.graph.nodes[name], self.line(name)
        status, output = result_of(node, line)
        chosen: set[str] | None = set()
        if status == COMPLETED:
            if node.kind == "block":
                self.outputs[name] = output
                self.context.update(output)
            chosen = self._choose(node, line)
        self._resolve(area, name, FAILED if chosen is None else status, chosen or set())
        self._settle()

    def line(self, name: str) -> Line:
        """Return the line of the run of ``name`` that is on, or was last."""
        lines = self.script.get(name) or [Line()]
        return lines[(self.run_counts[name] - 1) % len(lines)]

    @property
    def reached_end(self) -> bool:
        return any(token.kind == "taken" for wire, token in self.top.tokens.items() if wire.target == END)

    def outcome(self) -> tuple[str, str | None]:
        """Return how the run ended: its status, and the error's type where no block failed."""
        assert not self.ready
        assert not self.running
        if self.unhandled:
            return FAILED, None
        if any(wire.target == END for wire in self.graph.wires) and not self.reached_end:
            return FAILED, "NO_PATH_TO_END"
        return COMPLETED, None

    # What follows

    def _settle(self) -> None:
        """Decide all that can be decided; guards are read when their block becomes ready."""
        guarded: deque[tuple[Place, str]] = deque()
        while True:
            while self._sweep(self.top):
                pass
            for place in self._take_fresh():
                verdict = CANCELLED if self.failing else self._guard(place)
                if verdict in (SKIPPED, FAILED):
                    guarded.append((place, verdict))
                elif verdict == CANCELLED:
                    self._set(self.areas[place], place[0], CANCELLED)
                else:
                    self.ready.append(place)
            if not guarded:
                break
            place, verdict = guarded.popleft()
            self._resolve(self.areas[place], place[0], verdict, set())
        if self.failing:
            for name, path in self.ready:
                self._set(self.areas[name, path], name, CANCELLED)
            self.ready.clear()

    def _take_fresh(self) -> list[Place]:
        order = list(self.graph.nodes)
        fresh = sorted(self._fresh, key=lambda place: order.index(place[0]))
        self._fresh = []
        return fresh

    def _sweep(self, area: Area) -> bool:
        """Decide what can be decided in ``area``; returns whether anything could."""
        changed = False
        for loop in self.graph.inner(area.loop):
            if loop in area.ended:
                continue
            if loop not in area.rounds:
                changed |= self._reach_loop(area, loop)
            else:
                changed |= self._sweep(area.rounds[loop]) or self._conclude_round(area, loop)
        for name in self.graph.within(area.loop):
            if name not in area.statuses:
                fate, losers = self._fate(area, name)
                changed |= fate is not None
                if fate == READY:
                    self._ready(area, name)
                elif fate is not None:
                    self._resolve(area, name, SKIPPED, set(), losers)
        return changed

    def _fate(self, area: Area, name: str) -> tuple[str | None, frozenset[str]]:
        """Return whether ``name`` becomes ready or is skipped, and for whom it is lost; None while it is open."""
        wires = self.graph.forward_wires_to(name)
        tokens = [area.tokens[wire] for wire in wires if wire in area.tokens]
        if self.graph.begins_with_the_run(name):
            wires, tokens = [*wires, Wire("start", name)], [*tokens, Token("taken")]
        taken = sum(token.kind == "taken" for token in tokens)
        dead = sum(token.kind == "dead" for token in tokens)
        losers = frozenset().union(*(token.losers for token in tokens))
        node = self.graph.nodes[name]
        join = len(wires) if node.kind == "gate" else node.fields.get("join", "all")
        complete = len(tokens) == len(wires)
        if join == "all":
            if not complete:
                return None, losers
            return (READY if taken and not losers else SKIPPED), losers
        needed = 1 if join == "any" else int(join)
        if taken >= needed:
            return READY, losers
        if dead > len(wires) - needed:
            return SKIPPED, frozenset()
        return (SKIPPED if complete else None), losers

    def _ready(self, area: Area, name: str) -> None:
        self.areas[name, area.path] = area
        node = self.graph.nodes[name]
        if node.kind != "gate":
            self._set(area, name, READY)
            self._fresh.append((name, area.path))
            return
        chosen = self._choose(node, Line())
        self._resolve(area, name, FAILED if chosen is None else COMPLETED, chosen or set())

    def _guard(self, place: Place) -> str | None:
        guard = self.graph.nodes[place[0]].fields.get("conditions", {}).get("expression")
        if guard is None:
            return None
        try:
            return None if holds(guard, {}, self.context, self.outputs) else SKIPPED
        except Unevaluable:
            return FAILED

    def _choose(self, node: Node, line: Line) -> set[str] | None:
        """Return the targets that a completed node chooses, None where it cannot."""
        own = self.outputs.get(node.name.removesuffix("?"), {}) if node.kind != "gate" else {}
        matching: list[tuple[str, ...]] = []
        for way in node.ways:
            try:
                if way.question is not None:
                    matches = line.answers.get(way.question, False)
                else:
                    matches = holds(way.condition or "", own, self.context, self.outputs)
            except Unevaluable:
                return None
            if matches:
                matching.append(way.targets)
                if not node.inclusive:
                    break
        if node.ways and not matching:
            if node.default is None and not node.inclusive:
                return None
            matching.append(tuple(node.default or ()))
        return {*node.always, *(target for targets in matching for target in targets)}

    def _resolve(
        self, area: Area, name: str, status: str, chosen: set[str], losers: frozenset[str] = frozenset()
    ) -> None:
        """Settle ``name``: a token on each of its wires."""
        failed = status in (FAILED, REJECTED)
        if failed:
            losers = frozenset({name})
            if not self.graph.nodes[name].error_targets:
                self._fail(area, name)
        self._set(area, name, status)
        for wire in self.graph.wires_from(name):
            if wire.error:
                token = Token("taken" if failed else "dead")
            elif wire.target in chosen:
                token = Token("taken")
            else:
                token = self._lost_or_dead(wire, losers)
            self.edges[wire, area.path] = token.kind
            if wire.error and failed:
                for around in area.around():
                    around.broken |= around.loop is not None and wire.target not in around.loop.body
            self._put(area, wire, token)

    def _lost_or_dead(self, wire: Wire, losers: frozenset[str]) -> Token:
        """What a failure cuts off is lost, unless an error edge of the failed one leads there too."""
        left = frozenset(loser for loser in losers if not self.graph.error_edges_reach(loser, wire.target))
        return Token("lost", left) if left else Token("dead")

    def _put(self, area: Area, wire: Wire, token: Token) -> None:
        """Lay a token on a wire; what leaves the loop, or leads back in it, waits for the end of the round."""
        if area.loop is None or (wire.target in area.loop.body and wire not in area.loop.back):
            area.tokens[wire] = token
        else:
            area.leaving[wire] = token

    def _set(self, area: Area, name: str, status: str) -> None:
        area.statuses[name] = status
        self.statuses[name, area.path] = status

    def _fail(self, area: Area, name: str) -> None:
        """A failure that no error edge deals with: no loop around it goes on, and by policy nor does the run."""
        self.unhandled.append((name, area.path))
        for around in area.around():
            around.broken = True
        if (self.graph.nodes[name].fields.get("onFailure") or self.policy) == "fail":
            self.failing = True

    # Loops

    def _reach_loop(self, area: Area, loop: Loop) -> bool:
        """Begin or skip ``loop`` once the fate of each of its entries is decided."""
        fates = {entry: self._fate(area, entry) for entry in loop.entries}
        if any(fate is None for fate, _ in fates.values()):
            return False
        losers = frozenset().union(*(lost for fate, lost in fates.values() if fate == SKIPPED))
        ready = {entry for entry, (fate, _) in fates.items() if fate == READY}
        if losers or not ready:
            self._skip_loop(area, loop, losers)
        else:
            self._begin_round(area, loop, 0, ready)
        return True

    def _skip_loop(self, area: Area, loop: Loop, losers: frozenset[str]) -> None:
        """Skip the whole body, written down as a round 0 of this loop, inner loops included."""
        area.ended.add(loop)
        path = (*area.path, 0)
        for name in loop.body:
            self.statuses[name, path] = SKIPPED
            for wire in self.graph.wires_from(name):
                token = Token("dead") if wire.error else self._lost_or_dead(wire, losers)
                self.edges[wire, path] = token.kind
                if wire in loop.exits:
                    self._put(area, wire, token)

    def _begin_round(self, area: Area, loop: Loop, number: int, entries: set[str]) -> None:
        area.rounds[loop] = Area(loop, area, (*area.path, number))
        for entry in loop.entries:
            if entry in entries:
                self._ready(area.rounds[loop], entry)
            else:
                self._resolve(area.rounds[loop], entry, SKIPPED, set())

    def _conclude_round(self, area: Area, loop: Loop) -> bool:
        """Once everything in the round is decided, begin the next or end the loop."""
        done = area.rounds[loop]
        if not all(done.statuses.get(name) in FINAL for name in self.graph.within(loop)):
            return False
        if any(inner not in done.ended for inner in self.graph.inner(loop)):
            return False
        taken_back = [wire for wire in loop.back if done.leaving[wire].kind == "taken"]
        number = done.path[-1] + 1
        if not taken_back or done.broken:
            self._end_loop(area, loop, done.leaving)
        elif number < loop.bound:
            self._begin_round(area, loop, number, {wire.target for wire in taken_back})
        else:
            culprit = min((wire.source for wire in taken_back), key=self._order_of_edges)
            self.limits.append((culprit, loop.bound))
            self._fail(area, culprit)
            self._end_loop(area, loop, {wire: Token("lost", frozenset({"limit"})) for wire in loop.exits})
        return True

    def _order_of_edges(self, name: str) -> tuple[int, bool]:
        """Edges are numbered as they are written down: those of a question with those of its owner, first."""
        return list(self.graph.nodes).index(name.removesuffix("?")), not name.endswith("?")

    def _end_loop(self, area: Area, loop: Loop, leaving: Mapping[Wire, Token]) -> None:
        area.ended.add(loop)
        for wire in loop.exits:
            self._put(area, wire, leaving[wire])
