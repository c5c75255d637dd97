"""Telling people: every notification goes into one outbox, from where it would be sent."""

from pydantic import BaseModel, ConfigDict

from examples.appendix_c.store import Connection, Result, once
from workflow_service.agents.use_cases import RunContext, use_case


class Message(BaseModel):
    """``channel`` is how it is to be delivered, such as ``email`` or ``chat``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str
    recipient: str
    subject: str
    body: str


class Notified(BaseModel):
    """Who was told."""

    notified: str


@use_case("outbox.send")
def send(message: Message, run: RunContext) -> Notified:
    """Put one message into the outbox, once however often the block runs."""

    def work(connection: Connection) -> Result:
        post_message(connection, run, message)
        return {"notified": message.recipient}

    return Notified(**once(run, work))


def post_message(connection: Connection, run: RunContext, message: Message) -> None:
    """Write a message in the caller's transaction."""
    connection.execute(
        "INSERT INTO outbox (execution_id, block_id, channel, recipient, subject, body)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [run.execution_id, run.block_id, *message.model_dump().values()],
    )
