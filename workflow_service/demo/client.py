"""The service as its clients see it: document A's REST API over httpx, signed in as one user.

Environment proxies are not used: the service is asked directly. An access token that has run out is renewed once.
"""

from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_S = 30.0
CONNECT_RETRIES = 3
Json = dict[str, Any]


class ServiceUnreachable(Exception):
    """The service did not answer: it is not there, or not there at the moment."""


class ServiceRefused(Exception):
    """The service answered with a problem; ``lines`` say each fault with its place and its mend."""

    def __init__(self, what: str, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "UNKNOWN"))
        self.lines = [_line(error) for error in problem.get("errors", ()) if isinstance(error, Mapping)]
        detail = problem.get("detail") or "no reason was given"
        super().__init__("\n".join([f"{what}: {detail} ({status} {self.code})", *self.lines]))


def _line(error: Mapping[str, Any]) -> str:
    mend = f" ({error['suggestion']})" if error.get("suggestion") else ""
    return f"  {error.get('pointer') or '/'}: {error.get('detail') or error.get('message', '')}{mend}"


class ServiceClient:
    """One user of the service. Every method raises ``ServiceRefused`` and ``ServiceUnreachable``.

    ``transport`` leads elsewhere than the network, such as to an application in this process.
    """

    def __init__(
        self, base_url: str, username: str, password: str, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.username = username
        self._password = password
        self._http = httpx.Client(
            base_url=f"{base_url}/api/v1",
            transport=transport or httpx.HTTPTransport(retries=CONNECT_RETRIES),
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_in(self) -> None:
        """Get an access token."""
        credentials = {"username": self.username, "password": self._password}
        tokens = self._send("POST", "/auth/token", credentials)
        self._http.headers["Authorization"] = f"Bearer {tokens['access']}"

    def me(self) -> Json:
        """Return who this user is, and where."""
        return self._call("GET", "/auth/me")

    def save_template(self, body: Json) -> Json:
        """Create a template; one of the same name is given a new version, if the body says anything new."""
        query = httpx.QueryParams(q=body["name"], limit=100)
        found = self._call("GET", f"/templates?{query}")["templates"]
        same = [template["templateId"] for template in found if template["name"] == body["name"]]
        if same:
            return self._call("PUT", f"/templates/{same[0]}", body)
        return self._call("POST", "/templates", body)

    def start_execution(self, template_id: str, given: Json, *, idempotency_key: str) -> Json:
        """Start a run; a second call with the same key and input answers with the first one's run."""
        body = {"templateId": template_id, "input": given}
        return self._call("POST", "/executions", body, {"Idempotency-Key": idempotency_key})

    def execution(self, execution_id: str) -> Json:
        """Return a run as it stands."""
        return self._call("GET", f"/executions/{execution_id}?view=a")

    def events_after(self, execution_id: str, seq: int) -> list[Json]:
        """Return what happened in a run since event ``seq``, in order."""
        events: list[Json] = self._call("GET", f"/executions/{execution_id}/events?after={seq}")["events"]
        return events

    def pending_approvals(self, execution_id: str) -> list[Json]:
        """Return the run's open questions that this user may see."""
        query = httpx.QueryParams(executionId=execution_id)
        approvals: list[Json] = self._call("GET", f"/approvals/pending?{query}")["approvals"]
        return approvals

    def respond(self, approval_id: str, *, approved: bool, comments: str) -> Json:
        """Answer a question."""
        return self._call(
            "POST", f"/approvals/{approval_id}/respond", {"approved": approved, "comments": comments}
        )

    def _call(
        self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        if "Authorization" not in self._http.headers:
            self.sign_in()
        try:
            return self._send(method, path, body, headers)
        except ServiceRefused as refused:
            if refused.status != httpx.codes.UNAUTHORIZED:
                raise
        self.sign_in()
        return self._send(method, path, body, headers)

    def _send(
        self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        try:
            response = self._http.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise ServiceUnreachable(f"{self._http.base_url} does not answer: {reason}") from error
        answer = _read(response)
        if response.is_success:
            return answer
        raise ServiceRefused(f"{method} {path.partition('?')[0]}", response.status_code, answer)


def _read(response: httpx.Response) -> Json:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"detail": response.text[:200]}
