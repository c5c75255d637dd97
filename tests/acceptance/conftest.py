"""One stack for all whom another's runs do not concern, and who leave nothing at work.

It starts with the first test that asks for it and ends with the last one here: its processes are in nobody's way.
"""

from contextlib import ExitStack

import pytest

from tests.running_stack import USE_CASES, running_stack
from workflow_service.embedded.stack_record import AttachedStack

SHARED = pytest.StashKey[tuple[ExitStack, AttachedStack]]()


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AttachedStack:
    stash = request.config.stash
    if SHARED not in stash:
        until_ended = ExitStack()
        data_dir = tmp_path_factory.mktemp("stack") / "data"
        stash[SHARED] = (
            until_ended,
            until_ended.enter_context(running_stack(data_dir, USE_CASE_MODULES=USE_CASES)),
        )
    return stash[SHARED][1]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if SHARED in item.config.stash and (nextitem is None or nextitem.path.parent != item.path.parent):
        until_ended, _ = item.config.stash[SHARED]
        del item.config.stash[SHARED]
        until_ended.close()
