"""The operator's mail server: one message at a time over one connection, and what its answers mean.

Nothing is raised: each message comes to an ``Outcome``. A server that refuses one address is no server that is away.
"""

import smtplib
import socket
import threading
from types import TracebackType
from typing import Any

from django.core.mail import EmailMultiAlternatives, get_connection

from workflow_service.outbox.delivery import Outcome, Sent

# Each step of the exchange has EMAIL_TIMEOUT; all of it together ends here, before the message's lease does.
SEND_TIMEOUT_S = 120.0
SERVICE_CLOSES = 421


class MailServer:
    """A connection that is opened with the first message and kept for those after it."""

    def __init__(self, timeout_s: float = SEND_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._connection: Any = get_connection()
        # Django's other backends (files, memory) take messages without one.
        self._keeps = hasattr(self._connection, "connection")

    def __enter__(self) -> "MailServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def send(self, message: EmailMultiAlternatives) -> Sent:
        """Hand a message to the server; returns what it said."""
        guard = threading.Timer(self._timeout_s, self._cut)
        guard.start()
        try:
            if self._keeps:
                self._connection.open()
            taken = self._connection.send_messages([message])
        except Exception as error:
            self._close()
            return judge(error)
        finally:
            guard.cancel()
        return (
            Sent(Outcome.DELIVERED) if taken else Sent(Outcome.REFUSED, "the message names nobody to send to")
        )

    def _cut(self) -> None:
        """End an exchange that does not end: whoever waits for the server reads an end of file."""
        line = getattr(getattr(self._connection, "connection", None), "sock", None)
        if line is not None:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def _close(self) -> None:
        try:
            self._connection.close()
        except (smtplib.SMTPException, OSError):
            self._connection.connection = None


def judge(error: Exception) -> Sent:
    """Return what an error of sending means for the message, and for those behind it."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            code = max((int(answer[0]) for answer in error.recipients.values()), default=550)
            return _by_code(code, "the mail server refused the address")
        case smtplib.SMTPAuthenticationError():
            return Sent(Outcome.UNREACHABLE, "the mail server refused the service's password")
        case smtplib.SMTPSenderRefused():
            return Sent(Outcome.UNREACHABLE, f"the mail server refused EMAIL_FROM ({error.smtp_code})")
        case smtplib.SMTPDataError():
            return _by_code(error.smtp_code, "the mail server refused the message")
        case smtplib.SMTPNotSupportedError() | ValueError():
            # ValueError: an address or header that cannot be written down, which is no matter of the server.
            return Sent(Outcome.REFUSED, f"the message cannot be sent: {type(error).__name__}")
        case smtplib.SMTPException() | OSError():
            return Sent(Outcome.UNREACHABLE, f"the mail server cannot be reached: {type(error).__name__}")
    return Sent(Outcome.FAILED, f"the message could not be made: {type(error).__name__}: {error}")


def _by_code(code: int, words: str) -> Sent:
    """Judge an answer about one message: 4xx may pass later, 5xx will not (RFC 5321, 4.2.1)."""
    if code == SERVICE_CLOSES:
        return Sent(Outcome.UNREACHABLE, "the mail server closes (421)")
    return Sent(Outcome.FAILED if code < 500 else Outcome.REFUSED, f"{words} ({code})")
