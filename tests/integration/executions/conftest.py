"""A database that a whole module shares: each test looks at runs of its own, and emptying it costs a second."""

from collections.abc import Iterator

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let a module's tests write to the real database, committed; empty it when the module is done.

    It has the name of pytest-django's fixture, which thereby knows that a database is wanted.
    """
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            # Ids go on: what is cached by id in this process must not be found again for another row.
            call_command("flush", verbosity=0, interactive=False, reset_sequences=False)
            connection.close()


@pytest.fixture
def empty_queues() -> None:
    """Drop the messages of earlier tests, which no worker took: where messages wait, blocks are late, not lost."""
    # Django is not set up yet when this file is read.
    from executions_app.dispatch import QUEUES

    with current_app.connection_for_write() as broker:
        for queue in QUEUES:
            broker.default_channel.queue_purge(queue)
