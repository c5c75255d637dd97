"""Which capability does a step: by words, and only where every word of the capability's name is met.

A capability that is nearly the right one does the wrong work, so half a match counts as none.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workflow_service.agents.selection import AgentInfo, Capability, rank_agents
from workflow_service.ai.english.verbs import base_of
from workflow_service.ai.english.word_lists import words

# Words that mean the same work; each line is one meaning.
_MEANINGS = tuple(
    words(line)
    for line in """
    extract read load fetch get import pull retrieve ingest collect download
    send mail deliver dispatch
    email e-mail mail
    validate check verify
    transform convert normalize normalise clean map
    store save write persist
    delete remove purge
    create make generate build produce
    summarise summarize sum
    analyse analyze examine
    notify alert inform tell
    classify categorize categorise triage label
    """.strip().splitlines()
)
_ENDINGS = re.compile(r"(?:ations?|ions?|ments?|ings?|ors?|ers?|als?|ies|es|s|e|y)$")
_SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_EMPTY = words("a an and the of to for with by in on at from into agent service tool v")
MIN_STEM = 4


@dataclass(frozen=True, slots=True)
class Match:
    """An agent and what it would do; ``capability`` is None where the agent was asked for by name."""

    agent: AgentInfo
    capability: Capability | None


def find_matches(
    text: str, agents: Sequence[AgentInfo], *, preferred: Sequence[str] = (), capability: str = ""
) -> list[Match]:
    """Return who can do what ``text`` says, the best first.

    ``preferred`` agents come first, and are matched by their names and descriptions too: who names them knows them.
    """
    wanted = stems(text)
    ranked = rank_agents(agents, preferred=preferred)
    if capability:
        return [Match(agent, one) for agent in ranked for one in agent.capabilities if one.name == capability]
    found = [
        (place, -_specific(one.capability), index, one)
        for index, agent in enumerate(ranked)
        for one in _of_agent(wanted, agent, agent.agent_id in preferred)
        for place in [preferred.index(agent.agent_id) if agent.agent_id in preferred else len(preferred)]
    ]
    return [one for *_, one in sorted(found, key=lambda row: row[:3])]


def stems(text: str) -> frozenset[str]:
    """Return the stems of a text's words, with those that mean the same; words that say nothing are left out."""
    found: set[str] = set()
    for word in _words(text):
        base = base_of(word) or word
        found.add(_stem(base))
        for meaning in _MEANINGS:
            if base in meaning:
                found.update(map(_stem, meaning))
    return frozenset(found)


def _of_agent(wanted: frozenset[str], agent: AgentInfo, preferred: bool) -> Iterator[Match]:
    met = [one for one in agent.capabilities if _meets(wanted, one.name, 2 if agent.built_in else 1)]
    for capability in met:
        yield Match(agent, capability)
    if preferred and not met and not agent.built_in:
        said = _stems_of(f"{agent.agent_id} {agent.name} {' '.join(agent.tags)}")
        if any(_same(one, other) for one in said for other in wanted):
            yield Match(agent, agent.capabilities[0] if len(agent.capabilities) == 1 else None)


def _meets(wanted: frozenset[str], name: str, least: int) -> bool:
    """Say whether every word of a name is met; of what is built in, one word alone would be met by too much."""
    said = _stems_of(name)
    return len(said) >= least and all(any(_same(one, other) for other in wanted) for one in said)


def _specific(capability: Capability | None) -> int:
    return len(_stems_of(capability.name)) if capability else 0


def _stems_of(name: str) -> frozenset[str]:
    return frozenset(_stem(base_of(word) or word) for word in _words(name))


def _words(text: str) -> Iterable[str]:
    return (word for word in (found.lower() for found in _SPLIT.findall(text)) if word not in _EMPTY)


def _stem(word: str) -> str:
    stem = _ENDINGS.sub("", word)
    return stem if len(stem) >= MIN_STEM else word


def _same(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return one == other or (
        len(shorter) >= MIN_STEM and longer.startswith(shorter) and len(longer) - len(shorter) <= 2
    )
