"""One stack for all whom another's runs do not concern, and who leave nothing at work."""

from collections.abc import Iterator

import pytest

from tests.running_stack import USE_CASES, running_stack
from workflow_service.embedded.stack_record import AttachedStack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttachedStack]:
    with running_stack(tmp_path_factory.mktemp("stack") / "data", USE_CASE_MODULES=USE_CASES) as found:
        yield found
