"""Answers kept by ``Idempotency-Key``: what was asked twice is done once, and answered twice alike.

The answer is inserted in the transaction that does what was asked, so one is never there without the other. Of two
requests with one key at the same moment the second waits for the first one's commit, undoes its own work and gets
the first answer. What was refused is not kept: it did nothing, and may be asked again.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from django.utils.crypto import salted_hmac

from workflow_service.accounts.models import IdempotentRequest, User
from workflow_service.engine.errors import WorkflowError

KEPT_FOR = timedelta(hours=24)
FORGET_AT_ONCE = 1_000
KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class IdempotencyConflict(WorkflowError):
    """The same Idempotency-Key was used before for another request."""

    code = "IDEMPOTENCY_CONFLICT"


class AnswerNotKept(WorkflowError):
    """The request was carried out before, and its answer held a secret that is shown only once."""

    code = "ANSWER_NOT_KEPT"


class KeyTaken(WorkflowError):
    """Another request with this key was carried out meanwhile; what this one did must be undone."""

    code = "IDEMPOTENCY_KEY_TAKEN"


@dataclass(slots=True)
class IdempotentPost:
    """One request that bears a key. ``recorded`` says that its answer is written, ``overtaken`` that another's is."""

    user: User
    key: str
    fingerprint: str
    recorded: bool = False
    overtaken: bool = False

    def find_answer(self) -> IdempotentRequest | None:
        """Return the answer given before; raises ``IdempotencyConflict``, ``AnswerNotKept``."""
        standing = IdempotentRequest.objects.filter(user=self.user, key=self.key).first()
        if standing is None:
            return None
        if standing.fingerprint != self.fingerprint:
            raise IdempotencyConflict(
                f"the Idempotency-Key '{self.key}' was used for another request; send a new key"
            )
        if standing.answer is None:
            raise AnswerNotKept(
                "this was done before; its answer held a secret that is shown once, so it cannot be repeated"
            )
        return standing

    def record(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        """Keep the answer, in the caller's transaction if there is one; raises ``KeyTaken``.

        ``answer`` is the body as JSON; None where it must not be kept.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO accounts_idempotentrequest
                    (user_id, key, fingerprint, status, answer, headers, created_at)
                VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT DO NOTHING
                """,
                [
                    self.user.pk,
                    self.key,
                    self.fingerprint,
                    status,
                    None if answer is None else json.dumps(answer),
                    json.dumps(headers or {}),
                ],
            )
            self.recorded = cursor.rowcount == 1
        if not self.recorded:
            self.overtaken = True
            raise KeyTaken(f"another request with the Idempotency-Key '{self.key}' was first")


def fingerprint_of(user: User, method: str, path: str, body: bytes) -> str:
    """Return what two requests with one key must have in common; ``path`` with the query."""
    acting = user.acting_key.prefix if user.acting_key else ""
    # Keyed: a body may hold a password, which a plain hash would let anybody guess who reads the table.
    digest = salted_hmac("idempotent request", b"", algorithm="sha256")
    for part in (acting.encode(), method.encode(), path.encode(), _canonical(body)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def forget_old_answers() -> int:
    """Delete answers older than a day, some at a time; returns how many."""
    old = IdempotentRequest.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).order_by("created_at")
    return IdempotentRequest.objects.filter(pk__in=old.values("pk")[:FORGET_AT_ONCE]).delete()[0]


def _canonical(body: bytes) -> bytes:
    """Return a JSON body with its keys in order, so that spacing does not count; anything else as it is."""
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):
        return body
