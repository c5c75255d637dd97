"""Ready templates for those who run things, down each of their branches."""

import json

import pytest

from executions_app.models import BlockExecution
from tests.integration.library.library_runs import LibraryRun, run_library

pytestmark = pytest.mark.usefixtures("db")


class TestCiPipeline:
    def deployed(self, run: LibraryRun) -> list[str]:
        return [path.read_text() for path in run.files.glob("library/ci-pipeline/deployed/*")]

    def test_what_is_green_and_released_is_deployed(self) -> None:
        run = run_library("ci-pipeline").answer().completed()
        assert self.deployed(run) == [(run.files / "library/ci-pipeline/prices.py.txt").read_text()]
        text = run.output("write_release_notes")["text"]
        assert text.startswith("Version 1.4.0 is deployed as library/ci-pipeline/deployed/")
        assert "test_with_tax.py.txt: 2 tests passed" in text
        assert "test_net_of.py.txt: 1 tests passed" in text
        assert run.output("build_package")["artifact"]["sha256"] in text

    def test_what_is_not_released_stays_where_it_is(self) -> None:
        run = run_library("ci-pipeline").answer(approved=False).completed()
        assert "green, and not released" in run.output("write_hold")["text"]
        assert self.deployed(run) == []

    def test_faults_of_style_end_it_before_any_test(self) -> None:
        run = run_library("ci-pipeline", "Untidy").completed()
        text = run.output("report_failure")["text"]
        assert "style, line 1: 'os' is imported and not used" in text
        assert "style, line 4: blanks at the end" in text
        assert "run_tests" not in run.visited

    def test_a_failing_test_and_a_secret_end_it(self) -> None:
        run = run_library("ci-pipeline", "Wrong").completed()
        text = run.output("report_failure")["text"]
        assert "test test_net_of.py.txt, test_takes_the_tax_out_again: net of 119 is 96.39" in text
        assert "secrets in the source: 1" in text
        assert "build_package" not in run.visited

    def test_what_complains_after_the_deployment_is_rolled_back(self) -> None:
        run = run_library("ci-pipeline", "Rolled back").answer().completed()
        assert "smoke test: no rate for CH, rolled back" in run.output("report_failure")["text"]
        assert run.output("roll_back") == {"deleted": True}
        assert self.deployed(run) == []


class TestWebMonitoring:
    def test_sites_in_trouble_become_an_incident(self) -> None:
        run = run_library("web-monitoring")
        assert run.question.message == "2 sites are in trouble. Open an incident?"
        run.answer().completed()
        incident = json.loads(run.text_of(run.output("open_incident")["artifact"]))
        assert incident["alerts"] == [
            {"text": "shop.example: 75 % available, 190 ms on average, 2 of 8 probes failed"},
            {"text": "search.example: 100 % available, 875 ms on average, 0 of 8 probes failed"},
        ] or incident["alerts"] == [
            {"text": "shop.example: 75.0 % available, 190.0 ms on average, 2 of 8 probes failed"},
            {"text": "search.example: 100.0 % available, 875.0 ms on average, 0 of 8 probes failed"},
        ]
        page = run.text_of(run.output("write_status")["artifact"])
        assert "<h1>Incident</h1>" in page
        assert "<li>shop.example: 75.00 %, 190 ms</li>" in page
        assert "<li>blog.example: 100.00 %" in page

    def test_a_false_alarm_is_muted(self) -> None:
        run = run_library("web-monitoring").answer(approved=False).completed()
        page = run.output("write_status")["text"]
        assert "<h1>All is well</h1>" in page
        assert "A false alarm, muted: 2 sites." in page

    def test_a_calm_day_asks_nobody(self) -> None:
        run = run_library("web-monitoring", "All is well").completed()
        assert "write_alert" not in run.visited
        assert (
            f"<li>search.example: 100.00 %, {400 + 5 * 3.5:.0f} ms</li>" in run.output("write_status")["text"]
        )


class TestIncidentResponse:
    def test_a_host_is_isolated_when_somebody_agrees(self) -> None:
        run = run_library("incident-response")
        assert run.question.message == "5 errors within 12 minutes. Take db-1 off the network?"
        run.answer().completed()
        assert run.text_of(run.output("isolate_host")["artifact"]) == "deny db-1\n"
        text = run.output("write_postmortem")["text"]
        assert "Severity critical: 5 errors from 2026-05-02T10:04:00+00:00" in text
        assert "Most of them on db-1. Measure: isolated." in text
        assert "database: 3" in text
        rows = run.table_of(run.output("write_timeline")["artifact"])
        assert [row["message"] for row in rows][:2] == ["cannot reach db-1", "disk full"]

    def test_a_host_that_stays_is_watched(self) -> None:
        run = run_library("incident-response").answer(approved=False).completed()
        assert "Measure: watched until 2026-05-02T10:31" in run.output("write_postmortem")["text"]
        assert "isolate_host" not in run.visited

    def test_a_major_incident_has_an_engineer(self) -> None:
        run = run_library("incident-response", "Major").completed()
        text = run.output("write_postmortem")["text"]
        assert "Severity major: 4 errors" in text
        assert "Measure: assigned, due 2026-05-03T12:20" in text

    def test_a_minor_one_is_noted(self) -> None:
        run = run_library("incident-response", "Minor").completed()
        assert run.output("write_note")["text"] == "1 errors in 3 lines, nothing to do."


class TestBackup:
    def copies(self, run: LibraryRun) -> list[str]:
        return [path.name for path in run.files.glob("library/backup/copies/*")]

    def test_files_as_expected_are_packed_and_verified(self) -> None:
        run = run_library("backup").completed()
        assert self.copies(run) == [f"{run.execution.public_id}.zip"]
        assert run.output("verify_copy")["names"] == ["doc_charter.txt", "doc_ledger.csv", "doc_notes.txt"]
        written = run.table_of(run.output("write_manifest")["artifact"])
        manifest = run.files / "library/backup/manifest.csv"
        assert [f"{row['name']},{row['digest']}" for row in written] == manifest.read_text().splitlines()[1:]

    def test_files_that_changed_are_for_the_owner(self) -> None:
        run = run_library("backup", "Something changed")
        found = run.output("compare_files")
        assert found["changed"] == ["library/backup/doc_ledger.csv"]
        assert found["added"] == ["library/backup/doc_notes.txt"]
        assert found["gone"] == ["library/backup/doc_draft.txt"]
        assert len(self.copies(run.answer().completed())) == 1

    def test_changes_that_are_not_meant_stop_it(self) -> None:
        run = run_library("backup", "Something changed").answer(approved=False).completed()
        assert run.output("write_hold")["text"].count("library/backup/doc_") == 3
        assert self.copies(run) == []

    def test_without_files_there_is_nothing_to_do(self) -> None:
        run = run_library("backup", pattern="nothing/*").completed()
        assert run.output("write_nothing")["text"] == "No file is like nothing/*: nothing was backed up."

    def test_a_copy_that_is_not_whole_is_taken_away(self) -> None:
        run = run_library("backup", "Not whole")
        assert "missing: doc_seal.txt" in run.failed()["message"]
        undone = BlockExecution.objects.filter(execution=run.execution, kind="undo", status="COMPLETED")
        assert [row.block_id for row in undone] == ["store_copy:undo"]
        assert self.copies(run) == []


class TestContentModeration:
    def published(self, run: LibraryRun) -> list[str]:
        return [post["id"] for post in json.loads(run.text_of(run.output("write_published")["artifact"]))]

    def test_a_moderator_says_what_is_taken_down(self) -> None:
        run = run_library("content-moderation")
        flagged = run.output("sort_posts")["flagged"]
        assert [(post["id"], post["words"]) for post in flagged] == [("p2", ["liar"]), ("p4", ["casino"])]
        run.answer(takeDown=["p2"]).completed()
        assert self.published(run) == ["p1", "p4", "p5", "p6"]
        lines = run.output("write_log")["text"].splitlines()
        assert lines == ["Published: p1, p4, p5, p6", "Taken down: p2", "Spam: p3"]

    def test_a_moderator_cannot_take_down_what_is_clean(self) -> None:
        run = run_library("content-moderation").answer(takeDown=["p1", "p4"]).completed()
        assert "p1" in self.published(run)
        assert run.output("settle_posts")["takenDown"] == ["p4"]

    def test_without_a_moderator_the_doubtful_are_held(self) -> None:
        run = run_library("content-moderation").answer(approved=False).completed()
        assert self.published(run) == ["p1", "p5", "p6"]
        assert run.output("settle_posts")["takenDown"] == ["p2", "p4"]

    def test_a_clear_day_asks_nobody(self) -> None:
        run = run_library("content-moderation", "A clear day").completed()
        assert self.published(run) == ["q1", "q3"]
        assert "Spam: q2" in run.output("write_log")["text"]
