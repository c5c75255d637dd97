"""Run the suite on a Postgres and a Redis of its own, started before Django reads its settings.

`DATABASE_URL` and `REDIS_URL` in the environment are used instead, each for itself. Everything the run writes
is in a temporary directory that goes with it. A test's kind (unit, integration, ...) is the directory it lies
in. With `-n` each of pytest-xdist's processes has servers of its own, and the one that shares the work out has
none.
"""

import os
import shutil
import tempfile
from pathlib import Path

import django
import hypothesis
import psycopg
import pytest
from django.conf import settings
from xdist.remote import Producer

from tests import scheduling
from workflow_service.embedded import RunningServices, start_services

pytest.register_assert_rewrite("tests.consistency")
# Several processes share the processors: how long an example takes by the clock says nothing about the code.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

TESTS = Path(__file__).parent
KINDS = ("unit", "integration", "browser", "acceptance", "conformance", "chaos")
SERVICES = pytest.StashKey[RunningServices]()
DATA_DIR = pytest.StashKey[Path]()


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait as often as they compute: one process more than there are processors. Servers given are not shared."""
    given = os.environ.get("DATABASE_URL") or os.environ.get("REDIS_URL")
    return 0 if given else len(os.sched_getaffinity(0)) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> scheduling.FileByFile:
    return scheduling.FileByFile(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, then set Django up with their URLs, before pytest-django looks for it."""
    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the suite chooses its own settings.")
    if config.getoption("dist") != "no" and not config.getoption("collectonly"):
        return  # Other processes run the tests.
    data_dir = Path(tempfile.mkdtemp(prefix="workflow-service-tests-"))
    config.stash[DATA_DIR] = data_dir
    services = start_services(data_dir)
    config.stash[SERVICES] = services
    if "DATABASE_URL" not in os.environ:
        do_not_sync(services.urls.database_url)
    os.environ.update(services.urls.as_environment(), DATA_DIR=str(data_dir))
    # Nothing is sent beside a test that sweeps; one that is about sending does it itself.
    os.environ["NOTIFICATION_THREADS"] = "0"
    os.environ["DJANGO_SETTINGS_MODULE"] = "workflow_service.settings.test"
    django.setup()
    # What imports Django's commands waits until it is set up.
    from tests.flushing import replace_flush

    replace_flush()


def do_not_sync(database_url: str) -> None:
    """Spare a server that is thrown away the wait for the disk: a process may still die, the machine may not."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


def pytest_unconfigure(config: pytest.Config) -> None:
    services = config.stash.get(SERVICES, None)
    if services is not None:
        services.stop()
    data_dir = config.stash.get(DATA_DIR, None)
    if data_dir is not None:
        shutil.rmtree(data_dir, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        kind = kind_of(item)
        if kind in KINDS:
            item.add_marker(kind)
    if hasattr(config, "workerinput"):
        scheduling.order(items, kind_of)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if hasattr(item.config, "workerinput"):
        scheduling.give_way(kind_of(item))


def kind_of(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]
