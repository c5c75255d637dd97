"""E-mail by the operator's mail server. Who is written to is the author's choice, who writes is the operator's."""

import hashlib
import smtplib
from email.utils import formataddr, parseaddr
from typing import Annotated

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from pydantic import AfterValidator, Field, model_validator

from workflow_service.agents.errors import ToolError
from workflow_service.agents.library.shapes import Output, Params
from workflow_service.agents.library.sources import read_bytes
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import FileSource, content_type_of
from workflow_service.engine.states import ErrorType

MAX_RECIPIENTS = 50
MAX_ATTACHMENT_BYTES = 20 * 1024 * 1024


def _check_address(text: str) -> str:
    # A reference is replaced before the message is sent.
    if "${" in text:
        return text
    name, address = parseaddr(text)
    if "\n" in text or "\r" in text or len(text) > 320:
        raise ValueError("an e-mail address has no line break and at most 320 characters")
    try:
        validate_email(address)
    except ValidationError:
        raise ValueError(f"{text[:100]!r} is not an e-mail address") from None
    return formataddr((name, address)) if name else address


def _one_line(text: str) -> str:
    if any(not character.isprintable() for character in text):
        raise ValueError("the subject holds a line break or another control character")
    return text


Address = Annotated[str, AfterValidator(_check_address)]
Addresses = Annotated[list[Address], Field(max_length=MAX_RECIPIENTS)]


class EmailInput(Params):
    """``text`` is the plain body, ``html`` another form of it. ``attachments`` are files."""

    to: Addresses = Field(min_length=1)
    cc: Addresses = []
    bcc: Addresses = []
    reply_to: Address | None = None
    subject: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]
    text: str = Field(max_length=1_000_000)
    html: str | None = Field(None, max_length=2_000_000)
    attachments: list[FileSource] = Field([], max_length=20)

    @model_validator(mode="after")
    def few(self) -> "EmailInput":
        if len(self.to) + len(self.cc) + len(self.bcc) > MAX_RECIPIENTS:
            raise ValueError(f"a message goes to at most {MAX_RECIPIENTS} people")
        return self


class EmailOutput(Output):
    """``message_id`` is the same on every try: mailboxes show one message."""

    message_id: str
    recipients: int


@use_case("email.send")
def send_email(params: EmailInput, run: RunContext) -> EmailOutput:
    """Send an e-mail, with a Message-ID that stays the same on every try."""
    sender = settings.DEFAULT_FROM_EMAIL
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message_id = f"<{hashlib.sha256(run.idempotency_key.encode()).hexdigest()[:40]}@{domain}>"
    message = EmailMultiAlternatives(
        subject=params.subject,
        body=params.text,
        from_email=sender,
        to=params.to,
        cc=params.cc,
        bcc=params.bcc,
        reply_to=[params.reply_to] if params.reply_to else None,
        headers={"Message-ID": message_id, "Auto-Submitted": "auto-generated"},
    )
    if params.html is not None:
        message.attach_alternative(params.html, "text/html")
    _attach(message, params.attachments, run)
    _send(message)
    return EmailOutput(message_id=message_id, recipients=len(message.recipients()))


def _attach(message: EmailMultiAlternatives, sources: list[str], run: RunContext) -> None:
    room = MAX_ATTACHMENT_BYTES
    for source in sources:
        name = run.file_name(source)
        content = read_bytes(run, source, room)
        room -= len(content)
        message.attach(name, content, content_type_of(name))


def _send(message: EmailMultiAlternatives) -> None:
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        refused = ", ".join(sorted(error.recipients))
        raise ToolError(ErrorType.VALIDATION_ERROR, f"the mail server refused {refused}") from None
    except smtplib.SMTPAuthenticationError:
        raise ToolError(
            ErrorType.AUTHORIZATION_ERROR, "the mail server refused the service's password"
        ) from None
    except smtplib.SMTPResponseException as error:
        # 4xx may pass later, 5xx will not (RFC 5321, 4.2.1).
        kind = ErrorType.NETWORK_ERROR if error.smtp_code < 500 else ErrorType.VALIDATION_ERROR
        raise ToolError(kind, f"the mail server answered {error.smtp_code}") from None
    except (smtplib.SMTPException, OSError) as error:
        message_text = f"the mail server cannot be reached: {type(error).__name__}"
        raise ToolError(ErrorType.NETWORK_ERROR, message_text) from None
