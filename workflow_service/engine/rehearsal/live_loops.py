"""The loops of a run that is walked in memory: their instances, and where their nodes stand."""

from dataclasses import dataclass, field, replace

from workflow_service.engine.decide import LoopState, Place, Settlement
from workflow_service.engine.rounds import THE_RUN


@dataclass(slots=True)
class LiveLoops:
    """The loops under way, and how deep the scopes lie that they made."""

    states: dict[int, LoopState] = field(default_factory=dict)
    path_of_scope: dict[int, tuple[int, ...]] = field(default_factory=lambda: {0: ()})

    def take_over(self, settlement: Settlement) -> dict[int, int]:
        """Keep the instances that changed; returns the names given to new ones."""
        names: dict[int, int] = {}
        for state in settlement.loops:
            parent = replace(state.parent, scope=names.get(state.parent.scope, state.parent.scope))
            if state.scope < 0:
                names[state.scope] = len(self.path_of_scope)
            kept = replace(state, scope=names.get(state.scope, state.scope), parent=parent)
            self.path_of_scope[kept.scope] = self.rounds(parent)
            self.states[state.loop] = kept
            if state.closed:
                del self.states[state.loop]
        return names

    def place(self, loop: int | None) -> Place | None:
        """Return where the nodes of a loop stand now, None where it is not under way; of no loop, the run itself."""
        if loop is None:
            return THE_RUN
        state = self.states.get(loop)
        if state is None or state.round < 0 or state.ended:
            return None
        return Place(state.scope, state.round)

    def rounds(self, place: Place) -> tuple[int, ...]:
        """Return the rounds of the loops around a place, outer first."""
        return () if not place.scope else (*self.path_of_scope[place.scope], place.index)
