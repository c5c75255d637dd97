"""How well the rules turn plain English into workflows: F1 of blocks and edges, on descriptions and what a person drew.

    python -m benchmarks.nl [--verbose] [--output build/nl.json]

`tests/nl/README.md` says how drawings are matched. What is missed is shown for the corpus alone: the held-out
descriptions are there to judge the translator, and whoever writes it does not look at them. Needs no server. Exit
status 1 if an output is invalid or does not run dry; a missed target is in the table and no error.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, percentile, write_json
from tests.nl.corpus import CORPUS, HELD_OUT, Description, load_descriptions
from tests.nl.matching import Counts, Score, add_up, score_definition
from workflow_service.ai.generation.assembly import assemble
from workflow_service.ai.generation.facts import facts_by_step
from workflow_service.ai.generation.work import Offers, find_work
from workflow_service.ai.translator.translation import translate
from workflow_service.engine.definition import Definition
from workflow_service.engine.dry_run import DryRunStatus, dry_run_branches
from workflow_service.engine.errors import WorkflowError
from workflow_service.engine.findings import errors_in
from workflow_service.engine.plan import compile_plan
from workflow_service.engine.validation import validate

NODE_TARGET, EDGE_TARGET = 0.85, 0.75
# Document A section 15.1: a workflow of up to 10 blocks.
TIME_TARGET_MS = 5_000.0


@dataclass(frozen=True)
class Outcome:
    """What came of one description. ``problem`` is empty where the output is valid and runs dry."""

    description: Description
    score: Score
    problem: str
    took_ms: float


def main() -> int:
    options = read_options()
    figures: list[Figure] = []
    failed = False
    for folder in (CORPUS, HELD_OUT):
        outcomes = [measure(description) for description in load_descriptions(folder)]
        figures += figures_of(folder, outcomes)
        print(f"\n{folder}: {len(outcomes)} descriptions")
        print(table("style", outcomes, lambda one: one.description.style))
        print(table("domain", outcomes, lambda one: one.description.domain))
        failed = failed or any(one.problem for one in outcomes)
        if options.verbose and folder == CORPUS:
            show_misses(outcomes)
    print()
    for figure in figures:
        print(f"{figure.key:28} {figure.value:8.3f}  {figure.target:9} {figure.verdict}")
    write_json(figures, options.output)
    print(f"written to {options.output}")
    return 1 if failed else 0


def define(text: str) -> Definition:
    """Return what the rules make of a text where nobody but people does the work."""
    flow = translate(text)
    facts = facts_by_step(flow)
    return assemble(flow, {step.id: find_work(step, facts[step.id], Offers()) for step in flow.steps})


def measure(description: Description) -> Outcome:
    """Translate one description, check the output and score it."""
    began = time.perf_counter()
    try:
        definition = define(description.text)
    except WorkflowError as error:
        missed = Counts(0, len(description.names), 0), Counts(0, len(description.drawing.edges), 0)
        return Outcome(description, Score(*missed, Counts(), {}), error.message, _ms_since(began))
    took_ms = _ms_since(began)
    return Outcome(description, score_definition(description, definition), problem_of(definition), took_ms)


def problem_of(definition: Definition) -> str:
    """Return what is wrong with an output: an error of the validator, or a dry run that comes to no end."""
    errors = errors_in(validate(definition))
    if errors:
        return errors[0].message
    for run in dry_run_branches(compile_plan(definition)):
        if run.problems:
            return run.problems[0].message
        if run.status is DryRunStatus.STUCK:
            return f"never ends: {' '.join(run.path[:10])}"
    return ""


def figures_of(folder: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of one folder."""
    nodes, edges = (add_up(getattr(one.score, kind) for one in outcomes) for kind in ("nodes", "edges"))
    marks = add_up(one.score.marks for one in outcomes)
    good = sum(not one.problem for one in outcomes) / len(outcomes)
    return [
        Figure(f"{folder}_node_f1", nodes.f1, at_least=NODE_TARGET),
        Figure(f"{folder}_node_precision", nodes.precision),
        Figure(f"{folder}_node_recall", nodes.recall),
        Figure(f"{folder}_edge_f1", edges.f1, at_least=EDGE_TARGET),
        Figure(f"{folder}_edge_precision", edges.precision),
        Figure(f"{folder}_edge_recall", edges.recall),
        Figure(f"{folder}_node_f1_mean", sum(one.score.nodes.f1 for one in outcomes) / len(outcomes)),
        Figure(f"{folder}_edge_f1_mean", sum(one.score.edges.f1 for one in outcomes) / len(outcomes)),
        Figure(f"{folder}_mark_recall", marks.recall),
        Figure(f"{folder}_valid_share", good, at_least=1.0),
        Figure(f"{folder}_ms_p95", percentile([one.took_ms for one in outcomes], 95), at_most=TIME_TARGET_MS),
    ]


def table(title: str, outcomes: Iterable[Outcome], key: Callable[[Outcome], str]) -> str:
    """Return the F1s by style or domain."""
    groups: dict[str, list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(key(one), []).append(one)
    lines = [f"  {title:40} texts  node   edge"]
    for name, members in sorted(groups.items()):
        nodes = add_up(one.score.nodes for one in members).f1
        edges = add_up(one.score.edges for one in members).f1
        lines.append(f"  {name[:40]:40} {len(members):5}  {nodes:.2f}   {edges:.2f}")
    return "\n".join(lines)


def show_misses(outcomes: Iterable[Outcome]) -> None:
    """Print what was missed and what is too much, description by description."""
    for one in outcomes:
        if one.score.nodes.f1 == one.score.edges.f1 == 1 and not one.problem:
            continue
        print(
            f"\n{one.description.id}: nodes {one.score.nodes.f1:.2f}, edges {one.score.edges.f1:.2f} {one.problem}"
        )
        lost = [name for name in one.description.names if name not in one.score.pairs]
        print(f"  not found: {', '.join(lost) or '-'}")
        print(f"  edges missing: {', '.join(f'{a}->{b}' for a, b in one.score.missing_edges) or '-'}")
        print(f"  edges too many: {', '.join(f'{a}->{b}' for a, b in one.score.extra_edges) or '-'}")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nl", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--verbose", action="store_true", help="show what was missed in the corpus")
    parser.add_argument(
        "--output", type=Path, default=Path("build/nl.json"), help="where the figures go (build/nl.json)"
    )
    return parser.parse_args()


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    sys.exit(main())
