"""Rate limits: counted per user, key or address; higher by role; told by Retry-After."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.caller import Caller, problem_of
from tests.factories import noop
from tests.house import House
from workflow_service.accounts import throttles
from workflow_service.accounts.models import Role
from workflow_service.settings.config import Config, get_config


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    changes = {
        "rate_limit_logins_per_15_min": 3,
        "rate_limit_executions_per_h": 2,
        "rate_limit_creations_per_h": 1,
        "rate_limit_llm_calls_per_day": 2,
        "rate_limit_elevated_roles": (Role.ADMIN.value,),
        "rate_limit_elevated_factor": 2,
    }
    config: Config = get_config().model_copy(update=changes)
    monkeypatch.setattr(throttles, "get_config", lambda: config)
    yield
    cache.clear()


def start(caller: Caller) -> int:
    # The template is not there: tries count too.
    answer = caller.post("executions", {"templateId": "tpl_none"})
    if answer.status_code == 429:
        problem_of(answer, 429, "RATE_LIMITED")
        assert 1 <= int(answer["Retry-After"]) <= 3_600
    return int(answer.status_code)


def test_starts_are_limited_per_user(limits: None, house: House) -> None:
    developer = house.caller(Role.DEVELOPER)
    assert [start(developer) for _ in range(3)] == [404, 404, 429]
    assert start(house.caller(Role.OPERATOR)) == 404


def test_a_higher_role_has_a_higher_limit(limits: None, house: House) -> None:
    assert [start(house.caller(Role.ADMIN)) for _ in range(5)] == [404, 404, 404, 404, 429]


def test_a_key_has_a_limit_of_its_own(limits: None, house: House) -> None:
    developer = house.caller(Role.DEVELOPER)
    key = developer.post("api-keys", {"name": "ci"}).json()["apiKey"]
    assert [start(developer) for _ in range(3)] == [404, 404, 429]
    assert start(Caller(None, **{"X-Api-Key": key})) == 404


def test_creations_are_limited_and_reads_are_not(limits: None, house: House) -> None:
    developer = house.caller(Role.DEVELOPER)
    body = {"name": "T", "blocks": [noop("a")]}
    assert developer.post("templates", body).status_code == 201
    problem_of(developer.post("templates", body), 429, "RATE_LIMITED")
    assert [developer.get("templates").status_code for _ in range(5)] == [200] * 5


def test_requests_that_ask_a_language_model_are_limited_per_day(limits: None, house: House) -> None:
    developer = house.caller(Role.DEVELOPER)
    answers = [developer.post("workflows/translate", {}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert int(answers[-1]["Retry-After"]) <= 86_400


def test_tries_to_sign_in_are_limited_per_address(limits: None, house: House) -> None:
    body = {"username": house.developer.username, "password": "wrong-password"}
    forged = [{"X-Forwarded-For": f"10.0.0.{number}"} for number in range(4)]
    statuses = [Caller().post("auth/token", body, **headers).status_code for headers in forged]
    assert statuses == [401, 401, 401, 429]


def test_without_redis_nothing_is_counted_and_nothing_stops(
    limits: None, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr("django.core.cache.backends.redis.RedisCache.add", refuse)
    assert [start(house.caller()) for _ in range(4)] == [404] * 4


def test_the_documented_limits_are_the_defaults() -> None:
    fields = Config.model_fields
    assert fields["rate_limit_executions_per_h"].default == 100
    assert fields["rate_limit_creations_per_h"].default == 10
    assert fields["rate_limit_llm_calls_per_day"].default == 1_000
    assert fields["rate_limit_logins_per_15_min"].default == 100
