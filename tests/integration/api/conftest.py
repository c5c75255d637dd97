"""What the API's tests share. Django is imported inside the fixtures: it is set up after this file is read."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.caller import Caller
    from tests.house import House


@pytest.fixture
def house(transactional_db: None) -> "House":
    from tests.house import make_house

    return make_house()


@pytest.fixture
def other_house(transactional_db: None) -> "House":
    from tests.house import make_house

    return make_house()


@pytest.fixture
def developer(house: "House") -> "Caller":
    return house.caller()


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    from django.core.cache import cache

    cache.clear()
