"""What work asks outside: a slow web service and two language models on loopback, and a worker that knows of them.

The models answer by script and cost what is said here; their prices lie further apart for answers than for questions,
as prices do.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest.mock import patch

from benchmarks import engine
from benchmarks.engine import HIGH
from benchmarks.stack import CONCURRENCY, START_TIMEOUT_S, Stack
from tests.llm_server import asking, llm_server, say
from workflow_service.embedded import ports

DEAR, CHEAP = "large", "small"
MODELS = [
    {"name": DEAR, "inputUsdPerMTok": "2.5", "outputUsdPerMTok": "20"},
    {"name": CHEAP, "inputUsdPerMTok": "1", "outputUsdPerMTok": "2"},
]
ANSWERS_AFTER_S = 0.5


@contextmanager
def outside(stack: Stack) -> Iterator[str]:
    """Serve, and have a worker for runs of priority ``HIGH`` that may ask; yields the web service's address."""
    models = llm_server(otherwise=say("urgent", delay_s=ANSWERS_AFTER_S))
    with slow_service() as port, models as server, asking(server, models=MODELS):
        known = {
            "EGRESS_ALLOW": f"{ports.LOOPBACK}:{port}",
            "LLM_PROVIDERS": json.dumps([{"name": "p1", "url": server.url, "models": MODELS}]),
        }
        worker = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "celery_app",
            "worker",
            "-n",
            "outside@%h",
            "-Q",
            HIGH,
        ]
        options = [
            "-c",
            str(CONCURRENCY),
            "--prefetch-multiplier",
            "1",
            "--without-gossip",
            "--without-mingle",
        ]
        with patch.dict(os.environ, known), stack.running("outside", [*worker, *options, "-l", "INFO"]):
            # The first run waits until the worker is there, and is nobody's measure.
            engine.run_once(engine.chain(1), START_TIMEOUT_S, HIGH)
            yield f"http://{ports.LOOPBACK}:{port}"


@contextmanager
def slow_service() -> Iterator[int]:
    """Answer GET with the length of the path, after a while; yields the port."""
    server = ThreadingHTTPServer((ports.LOOPBACK, 0), _Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        pass

    def do_GET(self) -> None:
        time.sleep(ANSWERS_AFTER_S)
        content = json.dumps({"length": len(self.path)}).encode()
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
