"""Agents as values, and which of them is to do a piece of work: pure, so that it can be tested as a table.

Whoever can do the work comes first by health, then by load, then by how often its work succeeded; the id settles
what is left, so that the same agents always give the same answer.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from workflow_service.engine.states import ToolType

JsonObject = dict[str, JsonValue]

FLAKY_BELOW = 90.0
NEAR = 0.5
# An agent about which nothing is known yet stands between those that succeed often and those that do not.
UNPROVEN = 95.0
# Loads this near to each other are the same: the figures are some seconds old.
LOAD_STEP = 0.25


class AgentStatus(StrEnum):
    """What is known of an agent's health; ``DISABLED`` is what people decided."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"
    UNKNOWN = "UNKNOWN"
    DISABLED = "DISABLED"


# The best first; what is not here is not chosen.
CHOSEN = (AgentStatus.HEALTHY, AgentStatus.UNKNOWN, AgentStatus.DEGRADED)


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that an agent can do, with the JSON Schemas of what it takes and gives where they are known."""

    name: str
    description: str = ""
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent as it stood some seconds ago. ``agent_id`` is what people write into workflows.

    ``load`` is 0 to 1, ``success_rate`` a percentage and None where there is none yet. ``configuration`` holds the
    defaults of ``tool_type``, the tool it works with where a block names none. ``remote``: its work is done elsewhere,
    at ``url`` or, where that is empty, at the Agent Service.
    """

    agent_id: str
    name: str
    description: str = ""
    capabilities: tuple[Capability, ...] = ()
    tool_types: frozenset[ToolType] = frozenset()
    status: AgentStatus = AgentStatus.UNKNOWN
    load: float = 0.0
    success_rate: float | None = None
    configuration: JsonObject = field(default_factory=dict)
    remote: bool = False
    tool_type: ToolType | None = None
    tags: tuple[str, ...] = ()
    built_in: bool = False
    url: str = ""
    rate_per_min: int | None = None
    rate_burst: int | None = None
    average_ms: float | None = None
    # Not closed: its calls failed of late. Who named it is told by the breaker itself.
    breaker: str = "closed"

    @property
    def flaky(self) -> bool:
        """Whether its work is known to fail often."""
        return self.success_rate is not None and self.success_rate < FLAKY_BELOW

    @property
    def available(self) -> bool:
        """Whether work may be given to it now."""
        return self.status in CHOSEN

    def can(self, capability: str) -> bool:
        """Tell whether it has a capability of that name, in whatever case."""
        wanted = capability.casefold()
        return any(one.name.casefold() == wanted for one in self.capabilities)


def nearest_agent(agent_id: str, agents: Iterable[AgentInfo]) -> str | None:
    """Return the id of the agent that is most like ``agent_id``, or None where none is; disabled ones do not count."""
    known = {agent.agent_id.casefold(): agent.agent_id for agent in agents if agent.available}
    near = difflib.get_close_matches(agent_id.casefold(), known, n=1, cutoff=NEAR)
    return known[near[0]] if near else None


def choose_agent(
    agents: Iterable[AgentInfo],
    *,
    tool_type: ToolType | None = None,
    capability: str | None = None,
    text: str | None = None,
    preferred: Sequence[str] = (),
    exclude: Iterable[str] = (),
) -> AgentInfo | None:
    """Return the agent that is best to do a piece of work, or None where no available one can."""
    ranked = rank_agents(
        agents, tool_type=tool_type, capability=capability, text=text, preferred=preferred, exclude=exclude
    )
    return ranked[0] if ranked else None


def rank_agents(
    agents: Iterable[AgentInfo],
    *,
    tool_type: ToolType | None = None,
    capability: str | None = None,
    text: str | None = None,
    preferred: Sequence[str] = (),
    exclude: Iterable[str] = (),
) -> list[AgentInfo]:
    """Return the available agents that can do a piece of work, the best first.

    ``capability`` must be had by name; ``text``, words of the work, must meet at least one word of an agent's, and
    who meets more comes before who is healthier. ``preferred`` ids come first of all, in their order.
    """
    left_out = frozenset(exclude)
    places = {agent_id: place for place, agent_id in enumerate(preferred)}
    words = words_of(text or "")
    particular = bool(words) or capability is not None
    found: list[tuple[tuple[float, ...], str, AgentInfo]] = []
    for agent in agents:
        if agent.agent_id in left_out or not agent.available:
            continue
        if tool_type is not None and tool_type not in agent.tool_types:
            continue
        if capability is not None and not agent.can(capability):
            continue
        met = len(words & _words_of_agent(agent)) if words else 0
        if words and not met:
            continue
        found.append((_rank(agent, places, met, particular), agent.agent_id, agent))
    return [agent for _, _, agent in sorted(found, key=lambda one: one[:2])]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text by which work and agents are compared: lower case, three letters at least."""
    spaced = "".join(letter if letter.isalnum() else " " for letter in text.casefold())
    return frozenset(word for word in spaced.split() if len(word) > 2)


def _rank(agent: AgentInfo, places: dict[str, int], met: int, particular: bool) -> tuple[float, ...]:
    return (
        places.get(agent.agent_id, len(places)),
        -met,
        CHOSEN.index(agent.status),
        # A full one lets the work wait, whatever else speaks for it.
        agent.load >= 1,
        # Those made for something come first where that is wanted, and else those that can do anything.
        agent.built_in is particular,
        int(agent.load / LOAD_STEP),
        -(UNPROVEN if agent.success_rate is None else agent.success_rate),
        agent.load,
    )


def _words_of_agent(agent: AgentInfo) -> frozenset[str]:
    said = [agent.agent_id, agent.name, agent.description, *agent.tags]
    said += [f"{one.name} {one.description}" for one in agent.capabilities]
    return words_of(" ".join(said))
