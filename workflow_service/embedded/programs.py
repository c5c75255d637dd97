"""The programs that make up a stack, besides its two servers."""

import sys
from dataclasses import dataclass
from pathlib import Path

from workflow_service.embedded.children import Program

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Where a stack lives and listens. A port of 0 means any free one."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    flower_port: int = 5555
    flower_user: str = "operator"
    flower_password: str | None = None
    worker_concurrency: int = 2
    settings_module: str = "workflow_service.settings.development"


def prepare_command() -> tuple[str, ...]:
    """Bring the database and the static files up to date; ends by itself."""
    return (sys.executable, str(PROJECT_ROOT / "manage.py"), "prepare_stack")


def stack_programs(options: StackOptions, port: int, flower_port: int) -> list[Program]:
    """Return the long-running programs, in the order in which they start."""
    celery = (sys.executable, "-m", "celery", "-A", "celery_app")
    return [
        Program(
            "web",
            (
                *(sys.executable, "-m", "uvicorn", "workflow_service.asgi:application"),
                *("--host", options.host, "--port", str(port), "--no-access-log"),
                *("--ws-per-message-deflate", "false", "--timeout-graceful-shutdown", "5"),
                # Nothing stands in front of this stack: who calls is who connects.
                "--no-proxy-headers",
            ),
        ),
        Program(
            "worker",
            (
                *(*celery, "worker", "-n", "worker@%h", "-Q", "high,default,low"),
                *("-c", str(options.worker_concurrency), "--prefetch-multiplier", "1"),
                *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
            ),
        ),
        Program(
            "control",
            (
                *(*celery, "worker", "-n", "control@%h", "-Q", "control", "-c", "1"),
                *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
            ),
        ),
        Program("beat", (*celery, "beat", "--loglevel", "INFO")),
        Program(
            "flower",
            # Its password comes in the environment (FLOWER_BASIC_AUTH): arguments are everybody's to read.
            (
                *(*celery, "flower", "--address=127.0.0.1", f"--port={flower_port}", "--read_only=True"),
                *("--max_tasks=10000", "--purge_offline_workers=60", "--persistent=False"),
            ),
        ),
    ]
