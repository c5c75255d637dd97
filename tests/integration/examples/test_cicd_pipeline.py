"""The CI/CD pipeline down each of its branches: images, registry, deployments and outbox tell what happened."""

from typing import Any

import psycopg
import pytest

from tests.integration.examples.appendix_runs import AppendixRun, new_id, run_appendix

Analytics = psycopg.Connection
BUILT = {
    "code_quality_check",
    "parallel_tests",
    "run_unit_tests",
    "run_integration_tests",
    "run_security_scan",
    "build_image",
    "push_to_registry",
    "deploy_staging",
    "smoke_tests",
}
TESTED = BUILT - {"build_image", "push_to_registry", "deploy_staging", "smoke_tests"}
GOOD_CASE = {"values": {"price": 2, "quantity": 3}, "expected": 6}
BAD_CASE = {"values": {"price": 2, "quantity": 3}, "expected": 7}


def push(analytics: Analytics, **changes: Any) -> AppendixRun:
    given = {
        "repository": "shop",
        "revision": new_id("rev"),
        "team": "shop-team",
        "formula": "price * quantity",
        "names": ["price", "quantity"],
        "unit_tests": [GOOD_CASE],
        "integration_tests": [{"sku": "lamp", "values": {"quantity": 2}, "expected": 69.8}],
        "smoke_tests": [GOOD_CASE],
        **changes,
    }
    return run_appendix(analytics, "cicd_pipeline", given)


def status(run: AppendixRun) -> list[tuple[Any, ...]]:
    return run.rows("SELECT status FROM pipelines WHERE execution_id = %s")


def deployments(run: AppendixRun) -> list[tuple[Any, ...]]:
    return run.rows(
        "SELECT environment, rolled_back FROM deployments WHERE execution_id = %s ORDER BY deployment_id"
    )


def told(run: AppendixRun) -> str:
    ((recipient, body),) = run.rows("SELECT recipient, body FROM outbox WHERE execution_id = %s")
    assert recipient == "shop-team"
    return str(body)


def test_a_good_revision_goes_to_production_after_a_yes(analytics: Analytics) -> None:
    run = push(analytics)
    assert run.execution.status == "WAITING_FOR_APPROVAL"
    assert (status(run), deployments(run)) == ([("staged",)], [("staging", False)])
    run.answer(approved=True)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == BUILT | {"wait_approval", "deploy_production"}
    assert (status(run), deployments(run)) == ([("deployed",)], [("staging", False), ("production", False)])
    digests = run.rows(
        "SELECT count(DISTINCT digest) FROM (SELECT digest FROM deployments UNION ALL SELECT digest FROM registry"
        " UNION ALL SELECT digest FROM images) AS everywhere"
    )
    assert digests == [(1,)]
    assert run.messages == []


def test_a_no_keeps_it_out_of_production(analytics: Analytics) -> None:
    run = push(analytics).answer(approved=False)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == BUILT | {"wait_approval", "cancelled"}
    assert (status(run), deployments(run)) == ([("cancelled",)], [("staging", False)])


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        ("price *", "cannot be read"),
        ("price", "quantity is declared but never read"),
        ("price * quantity * tax", "tax is read but not declared"),
        ("price * quantity" + " + 0" * 60, "longer than 200 characters"),
    ],
)
def test_a_revision_of_poor_quality_is_not_tested(analytics: Analytics, formula: str, problem: str) -> None:
    run = push(analytics, formula=formula)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == {"code_quality_check", "notify_failure"}
    assert (status(run), deployments(run)) == ([("failed",)], [])
    assert problem in told(run)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit_tests": [GOOD_CASE, BAD_CASE]}, "gives 6, not 7"),
        ({"unit_tests": [{"values": {"price": 2}, "expected": 6}]}, "'quantity' is missing"),
        (
            {"integration_tests": [{"sku": "lamp", "values": {"quantity": 2}, "expected": 1}]},
            "gives 69.8, not 1",
        ),
        (
            {"integration_tests": [{"sku": "unicorn", "values": {}, "expected": 1}]},
            "unicorn is not in the catalogue",
        ),
        ({"formula": "price * quantity + len('password')"}, "a password or token"),
    ],
)
def test_any_test_that_fails_stops_the_build(
    analytics: Analytics, changes: dict[str, Any], reason: str
) -> None:
    run = push(analytics, **changes)
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == TESTED | {"notify_failure"}
    assert (status(run), deployments(run)) == ([("failed",)], [])
    assert run.rows("SELECT count(*) FROM images") == [(0,)]
    assert reason in told(run)


def test_a_revision_that_smokes_is_rolled_back_to_what_ran_before(analytics: Analytics) -> None:
    before = push(analytics)
    run = push(analytics, formula="quantity * price", smoke_tests=[BAD_CASE])
    assert run.execution.status == "COMPLETED", run.execution.error
    assert run.visited == BUILT | {"rollback", "notify_failure"}
    assert (status(run), deployments(run)) == ([("failed",)], [("staging", True)])
    running = run.rows(
        "SELECT execution_id FROM deployments WHERE environment = 'staging' AND NOT rolled_back"
        " ORDER BY deployment_id DESC LIMIT 1"
    )
    assert running == [(before.execution.public_id,)]
    assert "gives 6, not 7" in told(run)
