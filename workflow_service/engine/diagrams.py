"""The state diagrams of the documentation, generated from the transition tables.

``python -m workflow_service.engine.diagrams > docs/states.md`` renews the page; a test fails while it is
stale.
"""

from collections.abc import Iterable, Mapping

from workflow_service.engine.states import (
    BLOCK_TRANSITIONS,
    ENDED_EXECUTION_STATUSES,
    EXECUTION_TRANSITIONS,
    FINISHED_BLOCK_STATUSES,
    TEMPLATE_TRANSITIONS,
    BlockStatus,
    ExecutionStatus,
    Status,
    TemplateStatus,
)

PAGE = """\
# States

Generated from `workflow_service/engine/states.py` by `python -m workflow_service.engine.diagrams`. A status
changes along these arrows only; anything else raises `IllegalTransition`.

## Executions

An execution that has ended runs again when it is restarted.

{executions}
## Blocks

A completed block becomes failed when its work is done but no way on can be chosen. A restart makes a new row.

{blocks}
## Templates

Runs start from active templates, and with a warning from deprecated ones. An archived template keeps its runs; it comes
back as a draft, so that it is checked before it runs again.

{templates}"""


def state_diagram(
    transitions: Mapping[Status, frozenset[Status]], *, initial: Status, final: Iterable[Status]
) -> str:
    """Return a Mermaid state diagram of ``transitions`` in Markdown, in the order of the table."""
    position = {status: number for number, status in enumerate(transitions)}
    lines: list[str] = ["```mermaid", "stateDiagram-v2", f"    [*] --> {initial}"]
    for status, successors in transitions.items():
        lines += [
            f"    {status} --> {successor}" for successor in sorted(successors, key=position.__getitem__)
        ]
    lines += [f"    {status} --> [*]" for status in sorted(final, key=position.__getitem__)]
    return "\n".join([*lines, "```", ""])


def states_page() -> str:
    """Return the whole page."""
    return PAGE.format(
        executions=state_diagram(
            EXECUTION_TRANSITIONS, initial=ExecutionStatus.STARTING, final=ENDED_EXECUTION_STATUSES
        ),
        blocks=state_diagram(BLOCK_TRANSITIONS, initial=BlockStatus.PENDING, final=FINISHED_BLOCK_STATUSES),
        templates=state_diagram(TEMPLATE_TRANSITIONS, initial=TemplateStatus.DRAFT, final=()),
    )


if __name__ == "__main__":
    print(states_page(), end="")  # noqa: T201 -- run as a program, this module is the generator
