"""The use cases of a server, over HTTP and on the command line."""

from io import StringIO

import pytest
from django.core.management import call_command

from tests.caller import Caller
from tests.house import House, make_house


@pytest.fixture
def house(db: None) -> House:
    return make_house()


def test_use_cases_are_listed_with_their_schemas(developer: Caller) -> None:
    listed = developer.get("use-cases").json()
    by_name = {one["name"]: one for one in listed["useCases"]}
    assert listed["total"] == len(by_name) > 50
    join = by_name["data.join"]
    assert {"join", "records", "fields"} <= set(join["keywords"])
    assert join["inputSchema"]["required"] == ["left", "right"]
    assert "unmatchedLeft" in join["outputSchema"]["properties"]
    found = developer.get("use-cases", {"q": "csv write"}).json()["useCases"]
    assert [one["name"] for one in found] == ["csv.write"]
    assert Caller().get("use-cases").status_code == 401


def test_the_command_lists_them_too() -> None:
    told = StringIO()
    call_command("list_use_cases", stdout=told)
    assert "sql.query" in told.getvalue()
