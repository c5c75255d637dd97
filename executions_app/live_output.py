"""What a block says while it runs, log lines and progress, written as it is said.

A thread writes it, every half a second at most, on a connection of its own, and only while the block's fence is
the worker's: a block that says nothing has no thread, one that ends sooner no connection. What is not written when
the work ends is written with its result, and nothing twice.
"""

import logging
import threading
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import psycopg
from django.db import Error as DjangoDatabaseError
from django.db import connection
from django.utils import timezone
from psycopg.types.json import Jsonb

from executions_app.dispatch import tell_execution
from executions_app.finishing import log_rows
from executions_app.progress import Claim
from executions_app.transaction import DATABASE_GONE, forget_broken_connection, persistently
from workflow_service.agents.invocation import LogLine, ProgressReport
from workflow_service.engine.definition import JsonObject

logger = logging.getLogger(__name__)

INTERVAL_S = 0.5
TICK = timedelta(microseconds=1)

WRITE_LINES = """
    INSERT INTO executions_app_executionlog (
        execution_id, block_execution_id, block_id, agent_id, level, message, context, stack_trace, created_at)
    SELECT b.execution_id, b.id, b.block_id, b.agent_id, l.level, l.message, l.context, l.stack_trace, l.created_at
    FROM jsonb_to_recordset(%s) AS l(level smallint, message text, context jsonb, stack_trace text,
        created_at timestamptz), executions_app_blockexecution b
    WHERE b.id = %s AND b.fence = %s AND b.status = 'RUNNING'
"""
WRITE_PROGRESS = """
    UPDATE executions_app_blockexecution SET progress = %s WHERE id = %s AND fence = %s AND status = 'RUNNING'
"""
WAS_WRITTEN = """
    SELECT EXISTS (SELECT 1 FROM executions_app_executionlog
        WHERE execution_id = %s AND block_execution_id = %s AND created_at = %s)
"""


class LiveOutput:
    """What one try of a block says. ``unwritten`` holds the lines that its result must bring along.

    To be entered around the work; ``log`` and ``progress`` are what the tool is given.
    """

    def __init__(self, claim: Claim) -> None:
        self.unwritten: list[tuple[datetime, LogLine]] = []
        self._claim = claim
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._writer: threading.Thread | None = None
        self._last_at = timezone.now()
        self._progress: JsonObject | None = None
        # How many lines a lost connection may have committed: whether it did is asked before they are written again.
        self._in_doubt = 0

    def log(self, line: LogLine) -> None:
        """Keep a line to be written soon."""
        with self._lock:
            # No two lines of a block have one time: a line is known again by it.
            self._last_at = max(timezone.now(), self._last_at + TICK)
            self.unwritten.append((self._last_at, line))
        self._write_soon()

    def progress(self, report: ProgressReport) -> None:
        """Keep how far the work is; the newest report replaces those that were not written yet."""
        said: JsonObject = {
            "percent": report.percent,
            "message": report.message,
            "at": timezone.now().isoformat(),
        }
        with self._lock:
            self._progress = said
        self._write_soon()

    def __enter__(self) -> "LiveOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._writer is not None and self._writer.is_alive():
            self._writer.join()
        if self._in_doubt:
            persistently(self._settle_doubt)

    def write_rest(self) -> None:
        """Write what is left, for work that ends without a result to bring it along."""
        persistently(self._write)

    def _write_soon(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_on, name="live-output", daemon=True)
            self._writer.start()

    def _write_on(self) -> None:
        wrote = False
        try:
            while not self._ended.wait(INTERVAL_S):
                try:
                    forget_broken_connection()
                    wrote = self._write() or wrote
                except DATABASE_GONE as gone:
                    logger.warning("what a block says cannot be written yet, trying again: %s", gone)
                    connection.close()
        except (DjangoDatabaseError, psycopg.Error):
            logger.exception("what a block says is written at its end only")
        finally:
            if wrote:
                connection.close()

    def _write(self) -> bool:
        """Write what was said since the last time; returns whether there was anything."""
        self._settle_doubt()
        with self._lock:
            lines, progress = list(self.unwritten), self._progress
            self._progress = None
        if not lines and progress is None:
            return False
        own = [self._claim.block_execution_id, self._claim.fence]
        written: list[Any]
        try:
            with connection.cursor() as cursor:
                if progress is not None:
                    written = [Jsonb(progress), *own]
                    cursor.execute(WRITE_PROGRESS, written)
                self._in_doubt = len(lines)
                if lines:
                    written = [log_rows(lines), *own]
                    cursor.execute(WRITE_LINES, written)
                    # None are written where the block is another's by now: its result will be thrown away too.
                    self._forget(cursor.rowcount)
        except DATABASE_GONE:
            with self._lock:
                newer: JsonObject | None = self._progress
                self._progress = newer or progress
            raise
        except (DjangoDatabaseError, psycopg.Error):
            self._in_doubt = 0
            raise
        tell_execution(self._claim.execution_public_id, 0)
        return True

    def _settle_doubt(self) -> None:
        """Forget the lines of a write whose answer was lost, if they are there."""
        if not self._in_doubt:
            return
        claim, (first_at, _) = self._claim, self.unwritten[0]
        with connection.cursor() as cursor:
            cursor.execute(WAS_WRITTEN, [claim.execution_id, claim.block_execution_id, first_at])
            (written,) = cursor.fetchone()
        self._forget(self._in_doubt if written else 0)

    def _forget(self, count: int) -> None:
        with self._lock:
            del self.unwritten[:count]
        self._in_doubt = 0
