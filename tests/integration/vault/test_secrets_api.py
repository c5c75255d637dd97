"""Secrets over HTTP and in the admin: who may keep them, and that nobody reads them."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.caller import Caller, problem_of
from tests.factories import make_template, make_user, noop
from tests.house import House, make_house
from workflow_service.accounts.models import IdempotentRequest, Role
from workflow_service.vault.models import Secret
from workflow_service.vault.secrets import reveal

VALUE = "-----BEGIN KEY-----\nMIIabcdefgh\n-----END KEY-----\n"
LIST = "/admin/vault/secret/"


@pytest.fixture
def house(db: None) -> House:
    return make_house()


def value_of(house: House, name: str) -> str:
    return reveal(house.workspace.pk, [name])[name]


def keep(
    house: House, name: str = "TOKEN", value: str = VALUE, role: Role = Role.DEVELOPER, **more: Any
) -> Any:
    return house.caller(role).post("secrets", {"name": name, "value": value, **more})


def test_a_secret_is_kept_replaced_and_deleted_and_its_value_never_given(house: House) -> None:
    made = keep(house, description="For the shop")
    assert (made.status_code, made["Location"]) == (201, "/api/v1/secrets/TOKEN")
    shape = made.json()
    assert (shape["name"], shape["description"], shape["version"]) == ("TOKEN", "For the shop", 1)
    assert shape["createdBy"] == shape["updatedBy"] == house.developer.username
    assert value_of(house, "TOKEN") == VALUE, "to the last line break"

    developer = house.caller()
    replaced = developer.put("secrets/TOKEN", {"value": "another value"}).json()
    assert (replaced["version"], replaced["description"]) == (2, "For the shop")
    assert value_of(house, "TOKEN") == "another value"
    for answer in (made, developer.get("secrets"), developer.get("secrets/TOKEN")):
        assert "value" not in answer.json()
        assert "MIIabcdefgh" not in answer.content.decode()
        assert "another value" not in answer.content.decode()
    assert developer.delete("secrets/TOKEN").status_code == 204
    problem_of(developer.get("secrets/TOKEN"), 404, "SECRET_NOT_FOUND")
    assert developer.get("secrets").json() == {"secrets": [], "total": 0, "limit": 20, "offset": 0}


def test_templates_that_name_it_are_told(house: House) -> None:
    keep(house)
    keep(house, "TOKEN_2")
    template = make_template(
        [noop("a", {"x": "${secrets.TOKEN}", "y": '${secrets["TOKEN"]}'})], workspace=house.workspace
    )
    make_template([noop("a", {"x": "${secrets.TOKEN_2}"})])
    found = {secret["name"]: secret["usedBy"] for secret in house.caller().get("secrets").json()["secrets"]}
    assert found == {"TOKEN": [{"templateId": template.public_id, "name": template.name}], "TOKEN_2": []}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "TOKEN"}, "/value"),
        ({"name": "TOKEN", "value": "abc"}, "shorter than 4"),
        ({"name": "TOKEN", "value": "   a   "}, "shorter than 4"),
        ({"name": "TOKEN", "value": "a\x00bcdef"}, "/value"),
        ({"name": "TOKEN", "value": "x" * 70_000}, "/value"),
        ({"name": "TOKEN", "value": "ü" * 40_000}, "larger than 65536 bytes"),
        ({"name": "1TOKEN", "value": VALUE}, "/name"),
        ({"name": "A B", "value": VALUE}, "/name"),
        ({"name": "A" * 101, "value": VALUE}, "/name"),
        ({"name": "TOKEN", "value": {"a": 1}}, "/value"),
        ({"name": "TOKEN", "value": VALUE, "id": 3}, "/id"),
    ],
)
def test_what_cannot_be_kept_is_refused_without_being_repeated(
    house: House, body: dict[str, Any], said: str
) -> None:
    answer = house.caller().post("secrets", body)
    assert answer.status_code in (400, 422)
    assert said in json.dumps(answer.json())
    assert "MIIabcdefgh" not in answer.content.decode()
    assert not Secret.objects.exists()


def test_a_name_is_taken_once(house: House) -> None:
    keep(house)
    problem_of(keep(house, value="a new value"), 409, "SECRET_EXISTS")
    assert value_of(house, "TOKEN") == VALUE


def test_asking_twice_keeps_it_once_and_no_trace_of_the_value(house: House) -> None:
    body = {"name": "TOKEN", "value": VALUE}
    developer = house.caller()
    first, second = (developer.post("secrets", body, **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.json() == second.json()
    assert "MIIabcdefgh" not in json.dumps(list(IdempotentRequest.objects.values("answer", "fingerprint")))


def test_who_may(house: House) -> None:
    keep(house, role=Role.ADMIN)
    for role in (Role.VIEWER, Role.APPROVER):
        for answer in (house.caller(role).get("secrets"), house.caller(role).get("secrets/TOKEN")):
            problem_of(answer, 403, "FORBIDDEN")
    assert house.caller(Role.OPERATOR).get("secrets").json()["total"] == 1
    problem_of(keep(house, "OTHER", role=Role.OPERATOR), 403, "FORBIDDEN")
    for role in (Role.DEVELOPER, Role.OPERATOR):
        problem_of(house.caller(role).put("secrets/TOKEN", {"value": "stolen"}), 403, "FORBIDDEN")
        problem_of(house.caller(role).delete("secrets/TOKEN"), 403, "FORBIDDEN")
    stranger = make_house().caller(Role.ADMIN)
    problem_of(stranger.get("secrets/TOKEN"), 404, "SECRET_NOT_FOUND")
    problem_of(stranger.put("secrets/TOKEN", {"value": "stolen"}), 404, "SECRET_NOT_FOUND")
    problem_of(Caller().get("secrets"), 401, "NOT_AUTHENTICATED")
    assert value_of(house, "TOKEN") == VALUE


def test_an_unknown_secret_is_an_error_at_publish_and_the_nearest_is_named(house: House) -> None:
    keep(house, "SHOP_TOKEN")
    developer = house.caller()
    blocks = [
        noop("a", {"x": "${secrets.SHOP_TOKN}"}, recovery={"fallback": {"configuration": {"output": 1}}})
    ]
    made = developer.post("templates", {"name": "T", "blocks": blocks}).json()
    assert made["status"] == "draft"
    [finding] = made["findings"]
    assert (finding["type"], finding["pointer"]) == ("UNKNOWN_SECRET", "/blocks/0/configuration/output/x")
    assert "SHOP_TOKEN" in finding["suggestion"]
    problem_of(developer.post(f"templates/{made['templateId']}/publish"), 422, "INVALID_DEFINITION")
    keep(house, "SHOP_TOKN")
    assert developer.post(f"templates/{made['templateId']}/publish").status_code == 200


class TestAdmin:
    def admin(self, house: House, role: Role = Role.ADMIN) -> Client:
        client = Client()
        client.force_login(make_user(house.workspace, role, is_staff=True))
        return client

    def test_values_are_typed_in_and_never_shown(self, house: House) -> None:
        client = self.admin(house)
        form = {"workspace": house.workspace.pk, "name": "TOKEN", "description": "d"}
        assert b"could not be kept out" in client.post(f"{LIST}add/", form | {"value": "abc"}).content
        assert client.post(f"{LIST}add/", form | {"value": VALUE.replace("\n", "\r\n")}).status_code == 302
        assert value_of(house, "TOKEN") == VALUE
        page = f"{LIST}{Secret.objects.get().pk}/change/"
        for path in (LIST, page):
            assert b"TOKEN" in client.get(path).content
            assert b"MIIabcdefgh" not in client.get(path).content
        # An empty field leaves the value; the name cannot be changed.
        assert client.post(page, {"name": "OTHER", "description": "new", "value": ""}).status_code == 302
        assert (Secret.objects.get().name, Secret.objects.get().description) == ("TOKEN", "new")
        assert value_of(house, "TOKEN") == VALUE
        assert client.post(page, {"description": "new", "value": "a new value"}).status_code == 302
        assert value_of(house, "TOKEN") == "a new value"
        assert client.post(f"{LIST}{Secret.objects.get().pk}/delete/", {"post": "yes"}).status_code == 302
        assert not Secret.objects.exists()

    def test_a_name_that_is_taken_is_said_in_the_form(self, house: House) -> None:
        keep(house)
        form = {"workspace": house.workspace.pk, "name": "TOKEN", "value": "a new value"}
        assert b"has a secret of that name already" in self.admin(house).post(f"{LIST}add/", form).content

    def test_who_only_looks_may_not_type(self, house: House) -> None:
        keep(house)
        page = f"{LIST}{Secret.objects.get().pk}/change/"
        operator = self.admin(house, Role.OPERATOR)
        assert b'name="value"' not in operator.get(page).content
        assert operator.post(page, {"description": "x", "value": "stolen"}).status_code == 403
        assert operator.get(f"{LIST}add/").status_code == 403
        assert self.admin(make_house()).get(page).status_code == 302, "a foreign one is not there"
