"""The right to call back about one try of a block's work: a token that is derived, not stored.

It is a MAC over the run, the block's row and the number of the try, under a key derived from the service's secret:
whoever was sent it may answer for that work and for nothing else.
"""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from django.utils.crypto import constant_time_compare, salted_hmac

from workflow_service.settings.config import get_config

PATH = "/api/v1/callbacks/"
_SALT = "workflow-service.callbacks.1"
_TOKEN = re.compile(r"cb_([1-9]\d{0,17})_(\d{1,6})_[\w-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a block's work; ``attempt`` is the number of times it was recovered before."""

    block_execution_id: int
    attempt: int

    def token(self, execution_public_id: str) -> str:
        """Return the token for this try in a run of that public id."""
        value = f"{execution_public_id}:{self.block_execution_id}:{self.attempt}"
        mac = urlsafe_b64encode(salted_hmac(_SALT, value, algorithm="sha256").digest())
        return f"cb_{self.block_execution_id}_{self.attempt}_{mac.decode().rstrip('=')}"

    def url(self, execution_public_id: str) -> str:
        """Return the address that the agent of this try calls back."""
        return get_config().own_url() + PATH + self.token(execution_public_id)

    def is_proved_by(self, token: str, execution_public_id: str) -> bool:
        """Tell whether the token is this try's, in time that does not depend on the answer."""
        return constant_time_compare(token, self.token(execution_public_id))


def claimed_try(token: str) -> Try | None:
    """Return the try that a token claims to be for, which ``is_proved_by`` is to confirm; None if it is no token."""
    match = _TOKEN.fullmatch(token)
    return Try(int(match[1]), int(match[2])) if match else None
