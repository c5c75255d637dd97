"""Run the suite on a Postgres and a Redis of its own, started before Django reads its settings.

`DATABASE_URL` and `REDIS_URL` in the environment are used instead, each for itself. Everything the run writes
is in a temporary directory that goes with it. A test's kind (unit, integration, ...) is the directory it lies
in.
"""

import os
import shutil
import tempfile
from pathlib import Path

import django
import pytest
from django.conf import settings

from workflow_service.embedded import RunningServices, start_services

pytest.register_assert_rewrite("tests.consistency")

TESTS = Path(__file__).parent
KINDS = ("unit", "integration", "acceptance", "conformance", "chaos")
SERVICES = pytest.StashKey[RunningServices]()
DATA_DIR = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, then set Django up with their URLs, before pytest-django looks for it."""
    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the suite chooses its own settings.")
    data_dir = Path(tempfile.mkdtemp(prefix="workflow-service-tests-"))
    config.stash[DATA_DIR] = data_dir
    services = start_services(data_dir)
    config.stash[SERVICES] = services
    os.environ.update(services.urls.as_environment(), DATA_DIR=str(data_dir))
    os.environ["DJANGO_SETTINGS_MODULE"] = "workflow_service.settings.test"
    django.setup()


def pytest_unconfigure(config: pytest.Config) -> None:
    services = config.stash.get(SERVICES, None)
    if services is not None:
        services.stop()
    data_dir = config.stash.get(DATA_DIR, None)
    if data_dir is not None:
        shutil.rmtree(data_dir, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = item.path.relative_to(TESTS).parts[0]
        if kind in KINDS:
            item.add_marker(kind)
