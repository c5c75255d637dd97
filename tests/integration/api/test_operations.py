"""Health, metrics, the landing page, the schema and its page."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as RedisConnectionError

from executions_app.models import Execution, WorkerLease
from tests.caller import Caller, problem_of
from tests.driver import run_until_quiet, wake_all
from tests.factories import make_template, make_user, noop, start
from tests.failing_work import new_key, unsteady_block
from tests.house import House, make_house
from tests.past_runs import count_all
from workflow_service.accounts.models import Role
from workflow_service.accounts.tokens import issue_tokens
from workflow_service.operations import health
from workflow_service.settings.config import get_config


def break_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise DatabaseError("connection to server at 10.0.0.7, user wf, failed")

    monkeypatch.setattr("workflow_service.operations.health.connection.cursor", fail)


def break_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RedisConnectionError("redis://:secret@10.0.0.7 refused")

    monkeypatch.setattr("redis.Redis.ping", fail)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", "healthy"),
        ("/health/live", "alive"),
        ("/health/ready", "ready"),
        ("/ready", "ready"),
        ("/health/database", "healthy"),
        ("/health/dependencies", "healthy"),
    ],
)
def test_health_answers_anybody(db: None, path: str, status: str) -> None:
    answer = Caller().get(path, Accept="text/html")
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert "timestamp" in answer.json()


def test_readiness_names_every_check(db: None) -> None:
    body = Caller().get("/ready").json()
    assert body["checks"] == {
        "database": True,
        "migrations": True,
        "cache": True,
        "llm_service": True,
        "agent_service": True,
        "state_service": True,
    }


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/database"])
def test_a_database_that_is_gone_is_503_without_details(
    db: None, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # Mended before the test ends: what cleans up after it needs the database.
    with monkeypatch.context() as broken:
        break_database(broken)
        answer = Caller().get(path)
    assert answer.status_code == 503
    assert "10.0.0.7" not in answer.content.decode()
    assert Caller().get("/health/live").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/health/dependencies"])
def test_redis_that_is_gone_is_503_without_details(
    db: None, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    break_redis(monkeypatch)
    answer = Caller().get(path)
    assert answer.status_code == 503
    assert "secret" not in answer.content.decode()


def test_an_llm_that_is_gone_is_told_and_does_not_gate(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://user:secret@127.0.0.1:9/v1"
    monkeypatch.setattr(
        health, "get_config", lambda: get_config().model_copy(update={"llm_service_url": url})
    )
    monkeypatch.setattr(health, "_memory", {})
    answer = Caller().get("/ready")
    assert (answer.status_code, answer.json()["checks"]["llm_service"]) == (200, False)
    assert "secret" not in answer.content.decode()


def metrics(caller: Caller) -> dict[str, float]:
    """Return every sample by name and labels, as ``name{a=b}``."""
    text = caller.get("/metrics").content.decode()
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lease(**fields: Any) -> WorkerLease:
    return WorkerLease.objects.create(
        id=uuid4(), boot_id=uuid4(), hostname="h", pid=1, started_at=timezone.now(), **fields
    )


@pytest.mark.django_db(transaction=True)
def test_metrics_count_what_is_in_the_database() -> None:
    house = make_house()
    done = make_template([noop("a")], workspace=house.workspace)
    run_until_quiet(start(done))
    run_until_quiet(
        start(make_template([noop("b", humanInLoop={"required": True})], workspace=house.workspace))
    )
    start(done)
    unsteady = unsteady_block("a", new_key(), fails=9)
    run_until_quiet(start(make_template([unsteady], workspace=house.workspace)))
    wake_all(Execution.objects.latest("pk"))
    run_until_quiet(Execution.objects.latest("pk"))
    count_all()
    WorkerLease.objects.all().delete()
    for hours in (1, -1):
        lease(expires_at=timezone.now() + timedelta(hours=hours))
    found = metrics(Caller())
    assert found["workflow_executions_total{status=completed}"] == 1
    assert found["workflow_executions_total{status=failed}"] == 1
    assert found["workflow_errors_total{error_type=NETWORK_ERROR}"] == 2
    assert found["workflow_errors_total{error_type=SYSTEM_ERROR}"] == 0
    assert found["recovery_attempts_total{strategy=retry}{success=false}"] == 1
    assert found["recovery_attempts_total{strategy=retry}{success=true}"] == 0
    assert found["workflow_executions_uncounted"] == 0
    assert found["workflow_active_executions{status=waiting_for_approval}"] == 1
    assert found["workflow_blocks{status=waiting}"] == 1
    assert found["workflow_blocks{status=queued}"] == 1
    assert found["workflow_approvals{status=pending}"] == 1
    assert found["workflow_agents{status=unhealthy}"] == 0
    assert found["workflow_execution_duration_seconds_count"] == 2
    assert found["workflow_execution_duration_seconds_bucket{le=+Inf}"] == 2
    assert found["workflow_workers_live"] == 1
    assert found["workflow_queue_length{queue=default}"] >= 1
    assert found["workflow_metrics_sources_failed"] == 0


def test_metrics_without_redis_say_so(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RedisConnectionError

    monkeypatch.setattr("redis.client.Pipeline.execute", fail)
    found = metrics(Caller())
    assert found["workflow_metrics_sources_failed"] == 1
    assert "workflow_executions_total{status=completed}" in found
    assert not any(name.startswith("workflow_queue_length") for name in found)


@pytest.mark.parametrize("headers", [{"REMOTE_ADDR": "192.0.2.7"}, {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}])
def test_metrics_from_elsewhere_need_a_permission(house: House, headers: dict[str, str]) -> None:
    def scrape(**more: str) -> Any:
        return Client().get("/metrics", **headers, **more)  # type: ignore[arg-type]

    problem_of(scrape(), 401, "NOT_AUTHENTICATED")
    for role, status in ((Role.VIEWER, 403), (Role.DEVELOPER, 403), (Role.OPERATOR, 200), (Role.ADMIN, 200)):
        key = _key(house, role)
        assert scrape(HTTP_AUTHORIZATION=key).status_code == status


def _key(house: House, role: Role) -> str:
    return f"Bearer {issue_tokens(house.members[role]).access}"


def test_the_schema_has_no_warning_and_is_valid(db: None, tmp_path: Any) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yaml"))
    text = (tmp_path / "schema.yaml").read_text()
    assert text.startswith("openapi: 3.1")


def test_every_operation_says_how_its_errors_look(db: None) -> None:
    schema = Client().get("/api/schema/", {"format": "json"}).json()
    operations = [
        (path, operation)
        for path, methods in schema["paths"].items()
        for operation in methods.values()
        if path.startswith("/api/")
    ]
    assert len(operations) >= 20
    for path, operation in operations:
        assert {"400", "401", "403", "404", "422", "429"} <= operation["responses"].keys(), path
        assert operation["summary"]
    assert {"Block", "Gate", "GlobalSettings", "Problem"} <= schema["components"]["schemas"].keys()


def test_pages_hold_nothing_that_the_content_policy_forbids(db: None) -> None:
    for path in ("/", "/api/docs/"):
        answer = Client().get(path)
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", text), path
        assert not re.search(r"(src|href)=[\"']?(https?:)?//(?!127\.0\.0\.1:)", text), path


@pytest.mark.parametrize("model", ["user", "workspace", "membership", "apikey"])
def test_admin_pages_of_accounts_open(house: House, model: str) -> None:
    root = make_user(house.workspace, Role.ADMIN, is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(root)
    assert client.get(f"/admin/accounts/{model}/").status_code == 200


def test_admin_follows_the_policies_and_not_djangos_permissions(house: House, other_house: House) -> None:
    membership = house.workspace.memberships.first()
    assert membership is not None
    path = f"/admin/accounts/membership/{membership.pk}/change/"
    statuses = {}
    for name, user in (
        ("admin", house.members[Role.ADMIN]),
        ("operator", house.members[Role.OPERATOR]),
        ("foreign", other_house.members[Role.ADMIN]),
    ):
        user.is_staff = True
        user.save()
        client = Client()
        client.force_login(user)
        statuses[name] = client.get(path).status_code
    # To somebody else's admin the row does not exist: Django leads back to the index.
    assert statuses == {"admin": 200, "operator": 403, "foreign": 302}


def test_a_key_is_revoked_in_admin(house: House) -> None:
    prefix = house.caller().post("api-keys", {"name": "ci"}).json()["prefix"]
    admin = house.members[Role.ADMIN]
    admin.is_staff = True
    admin.save()
    client = Client()
    client.force_login(admin)
    key = house.workspace.api_keys.get(prefix=prefix)
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [str(key.pk)]})
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert key.digest not in client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
