"""Redis does not answer: runs start and go on all the same, nobody waits long, and the sweeper sends later."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from django.utils import timezone

from executions_app.models import BlockExecution, Execution, SweeperState
from executions_app.sweeper import sweep
from templates_app.models import Template
from tests.consistency import assert_consistent
from tests.factories import make_template, noop
from workflow_service.settings.config import get_config

pytestmark = pytest.mark.usefixtures("db", "empty_queues")

# A process of its own: in this one Celery's connections to the broker are open already.
SCRIPT = """
import json, sys, time
import django
django.setup()
from executions_app import running
from executions_app.sweeper import sweep
from templates_app.models import Template
from tests.driver import queued_blocks
from tests.factories import start
template = Template.objects.get(pk=int(sys.argv[1]))
took = {}
def measure(name, action):
    began = time.monotonic()
    found = action()
    took[name] = time.monotonic() - began
    return found
execution = measure("start", lambda: start(template))
measure("fan_out", lambda: running.run_blocks(execution.pk, queued_blocks(execution)[0], "default"))
measure("sweep", sweep)
print(json.dumps({"id": execution.pk, "took": took}))
"""
# A connection attempt and the answer to a command are waited for, each once.
LONGEST_WAIT_S = 6.0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: it is bound, lest another program take it, and nobody listens."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]


def run_without_broker(template: Template, port: int) -> tuple[Execution, dict[str, float]]:
    database = urlsplit(get_config().postgres_url())
    environment = {
        **os.environ,
        "DATABASE_URL": urlunsplit(database._replace(path=f"/{connection.settings_dict['NAME']}")),
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
    }
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(template.pk)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    return Execution.objects.get(pk=found["id"]), found["took"]


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_run_goes_on_without_a_broker(kind: str, closed_port: int, silent_port: int) -> None:
    parts = [noop(f"part{n}", dependencies=["split"]) for n in range(8)]
    join = noop("join", dependencies=[f"part{n}" for n in range(8)])
    template = make_template([noop("split"), *parts, join])
    execution, took = run_without_broker(template, closed_port if kind == "closed" else silent_port)
    assert max(took.values()) < LONGEST_WAIT_S, took
    assert_consistent(execution)
    waiting = BlockExecution.objects.filter(execution=execution, status="QUEUED")
    assert waiting
    # Nothing was counted as sent that could not be: the first tick with a broker sends it.
    waiting.update(next_send_at=timezone.now() - timedelta(seconds=1))
    SweeperState.objects.all().delete()
    sweep()
    assert set(waiting.values_list("sends", flat=True)) == {1}
