"""Reads the descriptions beside this file, with the blocks and edges expected of each (README.md says the format)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.nl.drawing import POLARITIES, Drawing, Edge

FOLDER = Path(__file__).parent
CORPUS = "corpus"
HELD_OUT = "held_out"


@dataclass(frozen=True)
class Description:
    """A description and what should be drawn from it.

    ``names`` are, by block, all the names that are right, the preferred one first. ``variables`` say by edge what its
    condition asks. ``marks`` are, by block, such as ``approval`` or ``retry=3``.
    """

    id: str
    domain: str
    style: str
    text: str
    drawing: Drawing
    names: Mapping[str, tuple[str, ...]]
    optional: frozenset[str]
    marks: Mapping[str, frozenset[str]]
    variables: Mapping[Edge, str]


def load_descriptions(folder: str = CORPUS) -> tuple[Description, ...]:
    """Return the descriptions of ``corpus`` or ``held_out``, in the order of their files."""
    paths = sorted((FOLDER / folder).glob("*.yaml"))
    entries = [entry for path in paths for entry in yaml.safe_load(path.read_text(encoding="utf-8"))]
    return tuple(_description(entry) for entry in entries)


def _description(entry: Mapping[str, Any]) -> Description:
    expect = entry["expect"]
    names = {block: (block, *others) for block, others in expect["blocks"].items()}
    edges: dict[Edge, frozenset[str]] = {}
    variables: dict[Edge, str] = {}
    for source, target, *rest in expect["edges"]:
        edge = (source, target)
        if edge in edges:
            raise ValueError(f"{entry['id']}: {source} -> {target} is there twice")
        edges[edge] = _polarities(rest[0] if rest else "plain")
        if len(rest) > 1:
            variables[edge] = rest[1]
    return Description(
        id=entry["id"],
        domain=entry["domain"],
        style=entry["style"],
        text=entry["text"],
        drawing=Drawing(blocks=tuple(names), edges=edges),
        names=names,
        optional=frozenset(expect.get("optional", ())),
        marks={block: frozenset(marks) for block, marks in expect.get("marks", {}).items()},
        variables=variables,
    )


def _polarities(given: str | bool) -> frozenset[str]:
    # YAML reads a bare yes and no as true and false.
    text = ("yes" if given else "no") if isinstance(given, bool) else given
    found = frozenset(text.split("|"))
    if unknown := found - POLARITIES:
        raise ValueError(f"no polarity: {', '.join(sorted(unknown))}")
    return found
