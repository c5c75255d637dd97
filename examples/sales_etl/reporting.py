"""The report of a run, in Markdown: what came in, what was kept, what was rejected and why, what was sold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from examples.sales_etl.loading import Figures


@dataclass(frozen=True)
class Quality:
    """What happened to the rows of the file."""

    csv_path: str
    rows: int
    bad_rows: int
    mended_rows: int
    reasons: Mapping[str, int]
    rejected_path: str
    suspected_pairs: int
    approved_bad_rows: bool


def write_report(execution_id: str, quality: Quality, figures: Figures, chart_name: str) -> str:
    """Return the report of a run that loaded its sales."""
    span = f"{figures.days[0][0]} to {figures.days[-1][0]}" if figures.days else "no days"
    return join(
        "# Sales report",
        f"Run {code(execution_id)} read {code(quality.csv_path)}.",
        table(
            ("", "Figure"),
            [
                ("Revenue", say_money(figures.revenue)),
                ("Orders loaded", f"{figures.rows:,}"),
                ("Days", span),
            ],
        ),
        f"![Revenue by day]({chart_name})",
        "## Products",
        parts_table("Product", figures.products),
        "## Regions",
        parts_table("Region", figures.regions),
        "## Data quality",
        *quality_section(quality),
        f"{quality.mended_rows:,} rows were kept after mending their text, and {quality.suspected_pairs:,} "
        "pairs of rows look alike under different order numbers; none was rejected for that.",
    )


def write_stopped_report(execution_id: str, quality: Quality, comments: str) -> str:
    """Return the report of a run that a person stopped: nothing was loaded."""
    return join(
        "# Sales report: stopped",
        f"Run {code(execution_id)} read {code(quality.csv_path)}. A person decided against its data: "
        "**nothing was loaded**.",
        f"Their comment:\n\n{quote(comments)}" if comments else "They left no comment.",
        "## Data quality",
        *quality_section(quality),
    )


def quality_section(quality: Quality) -> Iterable[str]:
    """Yield what happened to the rows."""
    percent = 100 * quality.bad_rows / quality.rows if quality.rows else 0
    approved = "; a person approved going on without them" if quality.approved_bad_rows else ""
    yield (
        f"Of {quality.rows:,} rows, {quality.bad_rows:,} ({percent:.2f} %) were rejected{approved}. "
        f"Each is kept with its reasons in {code(quality.rejected_path)}."
    )
    ranked = sorted(quality.reasons.items(), key=lambda entry: (-entry[1], entry[0]))
    reasons = [(reason.replace("_", " "), f"{rows:,}") for reason, rows in ranked]
    yield table(("Reason", "Rows"), reasons)


def parts_table(title: str, parts: Iterable[tuple[str, int, Decimal]]) -> str:
    rows = [(name or "(none)", f"{count:,}", say_money(revenue)) for name, count, revenue in parts]
    return table((title, "Orders", "Revenue"), rows)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table, the first column to the left and figures to the right."""
    lines = [head, (":---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join("| " + " | ".join(escape(cell) for cell in line) + " |" for line in lines)


def escape(cell: str) -> str:
    """Return a cell that cannot break its table or become markup: its text came from a file."""
    special: dict[str, str | int | None] = {character: f"\\{character}" for character in "\\|`*_[]<>"}
    return cell.replace("\n", " ").translate(str.maketrans(special)) if cell.strip(":-") else cell


def code(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"


def quote(text: str) -> str:
    return "\n".join(f"> {escape(line)}" for line in text.splitlines())


def say_money(amount: Decimal) -> str:
    return f"${amount:,.2f}"


def join(*paragraphs: str) -> str:
    return "\n\n".join(paragraphs) + "\n"
