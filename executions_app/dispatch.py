"""The only sender of Celery and Channels messages. Every message is a hint, sent after the commit it speaks of.

A message that cannot be sent is forgotten: the sweeper sends queued blocks again, and clients poll.
"""

import asyncio
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from celery import chord, current_app, group
from celery.canvas import Signature
from channels.layers import get_channel_layer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from executions_app.crash_points import reach
from executions_app.finishing import Aftermath
from executions_app.journal import Join, Queued
from executions_app.log_lines import write_to_process_log
from workflow_service.listeners import listened_to

logger = logging.getLogger(__name__)
# By name: the tasks stand above this module, and call what calls it.
RUN_BLOCK = "executions_app.tasks.run_block"
SETTLE = "executions_app.tasks.settle"
CONTROL_QUEUE = "control"
HINT_INTERVAL_S = 0.02
QUEUES = ("high", "default", "low")
# RuntimeError is what a chord raises where Redis does not answer.
BROKER_GONE = (OperationalError, RedisError, OSError, RuntimeError)
# After a failure nothing is tried for so long: who has many blocks to send must not wait for each.
BROKER_PAUSE_S = 1.0
_broker_rests_until = 0.0


def send_aftermath(aftermath: Aftermath, execution_id: int) -> None:
    """Send what a transaction left to be sent: its log lines, its queued blocks, the news for listeners."""
    write_to_process_log(aftermath.announcements)
    if aftermath.queued:
        send_blocks(execution_id, aftermath.execution_public_id, aftermath.queued)
    if aftermath.event_seq is not None:
        tell_execution(aftermath.execution_public_id, aftermath.event_seq)


def send_blocks(execution_id: int, execution_public_id: str, blocks: Sequence[Queued]) -> None:
    """Send blocks to the workers: as a chord where they meet in one join, else as a group.

    A chord's body is a settle hint and no more: the last header settles the join itself.
    """
    by_join: dict[Join | None, list[Signature]] = defaultdict(list)
    for block in blocks:
        signature = current_app.signature(
            RUN_BLOCK,
            kwargs={
                "execution_id": execution_id,
                "block_execution_id": block.id,
                "execution": execution_public_id,
                "block": block.block_id,
            },
            immutable=True,
            queue=block.queue,
            ignore_result=True,
            # What Flower shows; Celery's own description of ids and names costs a tenth of a message.
            argsrepr="",
            kwargsrepr=f"{execution_public_id} {block.block_id}",
        )
        by_join[block.join].append(signature)
    for join, signatures in by_join.items():
        if len(signatures) == 1:
            _publish(signatures[0])
        elif join is None:
            _publish(group(signatures))
        else:
            header = [signature.set(ignore_result=False) for signature in signatures]
            _publish(chord(header, _settle_signature(execution_id, execution_public_id)))


def send_settle_hint(execution_id: int, execution_public_id: str) -> None:
    """Ask a worker to settle a run that this process could not lock."""
    _publish(_settle_signature(execution_id, execution_public_id))


def _settle_signature(execution_id: int, execution_public_id: str) -> Signature:
    return current_app.signature(
        SETTLE,
        kwargs={"execution_id": execution_id, "execution": execution_public_id},
        immutable=True,
        queue=CONTROL_QUEUE,
        ignore_result=True,
    )


def count_messages() -> dict[str, int] | None:
    """Return how many messages wait in each queue of blocks; None while the broker does not answer.

    Zero for a broker other than Redis, which is not asked: sending again is harmless.
    """
    if _broker_rests():
        return None
    try:
        with current_app.connection_for_read() as broker:
            client = broker.default_channel.client
            return {queue: client.llen(queue) for queue in QUEUES}
    except AttributeError:
        return dict.fromkeys(QUEUES, 0)
    except BROKER_GONE as error:
        _let_broker_rest(error)
        return None


def _publish(signature: Signature) -> None:
    if _broker_rests():
        return
    name = signature.task.rpartition(".")[2]
    reach(f"{name}:before publish")
    try:
        signature.apply_async(retry=False)
    except BROKER_GONE as error:
        _let_broker_rest(error)
    reach(f"{name}:after publish")


def _broker_rests() -> bool:
    return time.monotonic() < _broker_rests_until


def _let_broker_rest(error: Exception) -> None:
    global _broker_rests_until
    _broker_rests_until = time.monotonic() + BROKER_PAUSE_S
    logger.warning("the broker does not answer, the sweeper will repeat what is not sent: %s", error)


class _HintSender:
    """Tells listeners of executions about new events from a thread of its own, a few times a second at most each.

    Only the newest event number of an execution matters, so numbers that come in the meantime replace each other.
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def tell(self, execution_public_id: str, seq: int) -> None:
        with self._changed:
            self._newest[execution_public_id] = max(seq, self._newest.get(execution_public_id, 0))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="channel-hints", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        # One loop for the thread's life: the channel layer keeps its connection by loop.
        loop = asyncio.new_event_loop()
        while True:
            with self._changed:
                while not self._newest:
                    self._changed.wait()
                newest, self._newest = self._newest, {}
            reach("execution.hint:before publish")
            try:
                by_group = {f"execution.{public_id}": seq for public_id, seq in newest.items()}
                if wanted := listened_to(by_group):
                    loop.run_until_complete(self._send({group: by_group[group] for group in wanted}))
            except (RedisError, OSError) as error:
                logger.warning("listeners could not be told, they will poll: %s", error)
            reach("execution.hint:after publish")
            time.sleep(HINT_INTERVAL_S)

    @staticmethod
    async def _send(newest: Mapping[str, int]) -> None:
        layer = get_channel_layer()
        for listened, seq in newest.items():
            await layer.group_send(listened, {"type": "execution.hint", "seq": seq})


_hints = _HintSender()


def _forget_inherited_thread() -> None:
    """Begin anew in a forked process: the thread is not there, and its lock may have been held."""
    global _hints
    _hints = _HintSender()


os.register_at_fork(after_in_child=_forget_inherited_thread)


def tell_execution(execution_public_id: str, seq: int) -> None:
    """Tell listeners that an execution has events up to ``seq``; returns at once."""
    _hints.tell(execution_public_id, seq)
