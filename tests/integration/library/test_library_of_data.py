"""Ready templates for data, reports and models, down each of their branches; the figures are worked out apart."""

import csv
import json
from fractions import Fraction

import pytest

from templates_app.library.catalog import get_library_template
from tests.integration.library.library_runs import LibraryRun, run_library

pytestmark = pytest.mark.usefixtures("db")


class TestSalesEtl:
    def test_a_clean_month_is_loaded(self) -> None:
        run = run_library("sales-etl").completed()
        rows = run.table_of(run.output("write_table")["artifact"])
        assert [(row["country"], row["orders"], round(float(row["revenue"]), 2)) for row in rows] == [
            ("France", "4", 4 * 129 + 1_190 + 3 * 79.5 + 2 * 129),
            ("Italy", "2", 689 + 34.9),
            ("Germany", "2", 10 * 34.9 + 2 * 79.5),
            ("Sweden", "2", 2 * 34.9 + 129),
            ("unknown", "1", 34.9),
        ]
        text = run.output("write_report")["text"]
        assert text.startswith("Loaded 11 orders, left out 1.\n")
        assert "France: 2202.50 in 4 orders" in text
        assert "review_quality" not in run.visited

    def test_too_many_bad_rows_are_for_a_person(self) -> None:
        run = run_library("sales-etl", "Strict")
        assert run.question.message.startswith("1 rows of library/sales-etl/orders.csv are bad")
        assert "write_report" in run.answer().completed().visited

    def test_what_a_person_refuses_is_not_loaded(self) -> None:
        run = run_library("sales-etl", "Strict").answer(approved=False).completed()
        text = run.output("write_refusal")["text"]
        assert "order A-1007: 0 is less than the minimum of 1" in text
        assert "write_table" not in run.visited


class TestDataQuality:
    def test_what_can_be_repaired_is_good_in_the_second_round(self) -> None:
        run = run_library("data-quality").completed()
        assert run.rounds("validate_rows") == 2
        rows = run.table_of(run.output("write_rows")["artifact"])
        assert [row["recordId"] for row in rows] == ["R1", "R2", "R3", "R4", "R5"]
        assert rows[1] | {"amount": "80.50"} == {
            "recordId": "R2",
            "email": "bert@example.com",
            "country": "FR",
            "amount": "80.50",
            "bookedOn": "2026-01-06",
        }
        assert (rows[2]["amount"], rows[2]["bookedOn"], rows[4]["email"]) == (
            "99.90",
            "2026-01-07",
            "emil@example.com",
        )
        text = run.output("write_report")["text"]
        assert "Score 100.0 over 5 rows." in text
        assert "DE: 2" in text
        assert text.count("repaired") == 6

    def test_what_cannot_be_repaired_is_for_the_steward(self) -> None:
        run = run_library("data-quality", "Cannot be repaired")
        assert run.rounds("repair_rows") == 2
        assert "the score is 50" in run.question.message
        assert "Score 50.0 over 4 rows." in run.answer().completed().output("write_report")["text"]

    def test_what_the_steward_refuses_stays_out(self) -> None:
        run = run_library("data-quality", "Cannot be repaired").answer(approved=False).completed()
        lines = run.output("write_quarantine")["text"].splitlines()
        assert lines == ["The data stays in quarantine:", "R2: /email", "R4: /amount"]
        assert "write_rows" not in run.visited


class TestWeeklyReport:
    def test_a_good_week_needs_no_comment(self) -> None:
        run = run_library("weekly-report").completed()
        before, now = 1200.5 + 2400 + 800.25 + 1500, 1300 + 2500 + 900 + 1600 + 100
        text = run.output("write_report")["text"]
        assert f"Revenue {now:.2f}, {(now - before) * 100 / before:+.1f} % against the week before." in text
        assert "- South: 2600.00" in text
        assert "What dropped" not in text
        charts = run.output("draw_charts")["results"]
        assert [chart["artifact"]["name"] for chart in charts] == ["chart-0.svg", "chart-1.svg"]
        assert run.text_of(charts[0]["artifact"]).startswith("<svg")
        page = run.text_of(run.output("render_page")["artifact"])
        assert "<h1>Week 11</h1>" in page

    def test_a_bad_week_is_commented(self) -> None:
        run = run_library("weekly-report", "A bad week")
        run.answer(comment="The fair was cancelled.").completed()
        text = run.output("write_report")["text"]
        assert "Revenue 5120.00, -20.0 %" in text
        chairs, lamps = (1800 + 1200) - (2500 + 1700), (1250 + 870) - (1300 + 900)
        assert f"- chairs: {chairs:.2f}\n- lamps: {lamps:.2f}" in text
        assert "The fair was cancelled." in run.text_of(run.output("render_page")["artifact"])


class TestModelTraining:
    def exact_r2(self, degree: int) -> float:
        """Fit a polynomial without rounding anything, and return how well it explains the points held out."""
        (path,) = get_library_template("ml-training").files
        with path.open(newline="") as file:
            points = [(Fraction(row["x"]), Fraction(row["y"])) for row in csv.DictReader(file)]
        training = [point for index, point in enumerate(points) if index % 4 != 3]
        held_out = [point for index, point in enumerate(points) if index % 4 == 3]
        size = degree + 1
        rows = [
            [
                *(sum((x ** (row + column) for x, _ in training), Fraction()) for column in range(size)),
                sum((y * x**row for x, y in training), Fraction()),
            ]
            for row in range(size)
        ]
        for pivot in range(size):
            rows[pivot] = [value / rows[pivot][pivot] for value in rows[pivot]]
            for other in range(size):
                if other != pivot:
                    factor = rows[other][pivot]
                    rows[other] = [a - factor * b for a, b in zip(rows[other], rows[pivot], strict=True)]
        residuals = [y - sum(rows[power][size] * x**power for power in range(size)) for x, y in held_out]
        mean = sum(y for _, y in held_out) / len(held_out)
        spread = sum((y - mean) ** 2 for _, y in held_out)
        return float(1 - sum(residual**2 for residual in residuals) / spread)

    def test_the_best_of_several_degrees_is_registered(self) -> None:
        run = run_library("ml-training").completed()
        ranking = run.output("rank_models")["records"]
        assert {one["degree"]: round(one["r2"], 6) for one in ranking} == {
            degree: round(self.exact_r2(degree), 6) for degree in (1, 2, 3, 5)
        }
        best = max((1, 2, 3, 5), key=self.exact_r2)
        model = json.loads(run.text_of(run.output("register_model")["artifact"]))
        assert model["degree"] == best == 3
        assert [round(value, 1) for value in model["coefficients"]] == [1.0, -2.0, 0.0, 0.5]
        text = run.output("write_card")["text"]
        assert f"degree 3, R2 {self.exact_r2(3):.4f} on 6 points held out" in text
        assert "Trained on 19 points, found in search 1." in text
        assert run.output("draw_model")["svg"].count("<svg") == 1

    def test_a_second_search_finds_what_the_first_did_not(self) -> None:
        run = run_library("ml-training", "Found in the second search").completed()
        assert run.rounds("train_model") == 2
        assert run.output("widen_search") == {"candidates": [3, 4], "searches": 2}
        assert "found in search 2" in run.output("write_card")["text"]

    def test_the_searches_are_bounded(self) -> None:
        run = run_library("ml-training", "Not found").completed()
        assert f"degree 1, R2 {self.exact_r2(1):.4f}" in run.output("report_failure")["text"]
        assert "register_model" not in run.visited


class TestDocumentReview:
    def review(self) -> LibraryRun:
        run = run_library("document-review")
        assert run.rounds("check_text") == 2
        return run

    def test_what_the_guide_replaces_is_corrected_before_the_editor_reads(self) -> None:
        run = self.review()
        assert run.output("check_text")["faults"] == [{"line": 6, "find": "obviously", "correctable": False}]
        run.answer().completed()
        diff = run.output("compare_versions")
        assert (diff["added"], diff["removed"]) == (3, 3)
        assert "+Customers who have the yearly plan pay obviously less." in diff["diff"]
        assert run.output("count_words")["words"] == 29
        page = run.text_of(run.output("publish_page")["artifact"])
        assert "We will use a new price list from July." in page

    def test_the_editor_may_send_it_back_with_changes(self) -> None:
        run = self.review().answer(approved=False, changes=[{"find": "obviously less", "replace": "less"}])
        assert run.output("check_text")["faults"] == []
        run.answer().completed()
        assert "obviously" not in run.text_of(run.output("publish_page")["artifact"])

    def test_without_changes_it_is_refused(self) -> None:
        run = self.review().answer(approved=False).completed()
        assert "line 6: obviously" in run.output("write_refusal")["text"]
        assert "publish_page" not in run.visited
