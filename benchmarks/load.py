"""A process that keeps runs under way for as long as it lives, so that others are measured under load."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Bench

STEPS = 50
AT_ONCE = 10
LOOK_AGAIN_S = 0.05
WARM_UP_S = 2.0
DRAIN_TIMEOUT_S = 60.0


@contextmanager
def background(bench: Bench) -> Iterator[None]:
    """Keep the workers busy with runs of 50 blocks while the context lasts, and wait until they have ended."""
    from benchmarks import engine
    from executions_app.models import Execution
    from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

    template = engine.chain(STEPS)
    command = [sys.executable, "-m", "benchmarks.load", str(template.pk)]
    with bench.stack.running("load", command):
        time.sleep(WARM_UP_S)
        yield
    runs = Execution.objects.filter(template=template)
    open_runs = list(runs.exclude(status__in=ENDED_EXECUTION_STATUSES).values_list("pk", flat=True))
    engine.wait_for_all(open_runs, DRAIN_TIMEOUT_S)
    if not runs.count():
        raise engine.NotCompleted("the load started no runs")


def main(template_id: int) -> None:
    """Start a run whenever one ends, until killed."""
    import django

    django.setup()
    from benchmarks import engine
    from executions_app.models import Execution
    from templates_app.models import Template
    from workflow_service.engine.states import ENDED_EXECUTION_STATUSES

    template = Template.objects.select_related("owner", "workspace", "current_version").get(pk=template_id)
    under_way: set[int] = set()
    while True:
        while len(under_way) < AT_ONCE:
            under_way.add(engine.start(template).pk)
        time.sleep(LOOK_AGAIN_S)
        ended = Execution.objects.filter(pk__in=under_way, status__in=ENDED_EXECUTION_STATUSES)
        under_way -= set(ended.values_list("pk", flat=True))


if __name__ == "__main__":
    main(int(sys.argv[1]))
