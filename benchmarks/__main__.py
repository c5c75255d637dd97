"""Measure one after the other, in turns: a workflow of sequential steps, and a bare Celery chain as long.

    python -m benchmarks [--steps 40] [--runs 15] [--output build/bench.json]

Both use one broker and workers of the same size; Postgres runs with fsync and synchronous_commit on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from workflow_service.embedded import start_services

CONCURRENCY = 2
START_TIMEOUT_S = 60
RUN_TIMEOUT_S = 120


def main() -> int:
    options = read_options()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workflow-bench-")))
        services = stack.enter_context(start_services(directory))
        prepare(services.urls.as_environment(), directory)
        from benchmarks import bare, engine

        stack.enter_context(worker("celery_app", "-Q", "high,default,low"))
        stack.enter_context(worker("celery_app", "-Q", "control", concurrency=1))
        stack.enter_context(worker("benchmarks.bare"))
        template = engine.sequential_template(options.steps)
        wait_until(lambda: len(bare.app.control.inspect(timeout=1).ping() or {}) == 1)
        rounds = [
            (engine.run_once(template, RUN_TIMEOUT_S), run_chain(bare, options.steps))
            for _ in range(options.runs + 2)
        ][2:]
    report(options, rounds)
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="length of the workflow and of the chain (40)")
    parser.add_argument("--runs", type=int, default=15, help="measured pairs after two that are not (15)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"), help="where the figures go")
    return parser.parse_args()


def prepare(environment: dict[str, str], directory: Path) -> None:
    """Set the environment of this process and of the workers, and make the tables."""
    os.environ.update(
        environment, DATA_DIR=str(directory), DJANGO_SETTINGS_MODULE="workflow_service.settings.development"
    )
    os.environ["BARE_REDIS_URL"] = environment["REDIS_URL"].rsplit("/", 1)[0] + "/1"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


@contextmanager
def worker(app: str, *arguments: str, concurrency: int = CONCURRENCY) -> Iterator[None]:
    """Run a Celery worker of its own for as long as the context lasts."""
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-c", str(concurrency), "-l", "ERROR"]
    process = subprocess.Popen([*command, "-n", f"{app}{len(arguments)}{concurrency}@%h", *arguments])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the workers did not start")
        time.sleep(0.2)


def run_chain(bare: Any, steps: int) -> float:
    """Run a chain of tasks that do nothing; returns seconds."""
    from celery import chain

    begun = time.perf_counter()
    chain(*(bare.nothing.si() for _ in range(steps))).apply_async().get(timeout=RUN_TIMEOUT_S)
    return time.perf_counter() - begun


def report(options: argparse.Namespace, rounds: list[tuple[float, float]]) -> None:
    """Print the table and write the figures."""
    per_step = 1_000 / options.steps
    engine_ms = [run * per_step for run, _ in rounds]
    celery_ms = [chained * per_step for _, chained in rounds]
    ratios = [ours / theirs for ours, theirs in zip(engine_ms, celery_ms, strict=True)]
    key = f"sequential_{options.steps}"
    print(f"{'':34}{'min':>9}{'median':>9}{'max':>9}")
    for name, values in (
        (f"workflow, {options.steps} steps: ms a step", engine_ms),
        (f"Celery chain of {options.steps}: ms a step", celery_ms),
        ("ratio, pair by pair", ratios),
    ):
        print(f"{name:34}{min(values):9.2f}{statistics.median(values):9.2f}{max(values):9.2f}")
    figures = {
        f"{key}.engine_ms_per_step": round(statistics.median(engine_ms), 3),
        f"{key}.celery_ms_per_step": round(statistics.median(celery_ms), 3),
        f"{key}.ratio": round(statistics.median(ratios), 3),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {options.output}")


if __name__ == "__main__":
    sys.exit(main())
