"""Calls the REST API as a user would, without a server in between."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import get_resolver

from workflow_service.accounts.models import User
from workflow_service.accounts.tokens import issue_tokens

# Loaded here, and not by a test's first request: its transaction may idle for a few seconds only, and a busy machine
# takes that long to import every view.
_ = get_resolver().url_patterns


class Caller:
    """Sends JSON to ``/api/v1`` with a user's access token; without a user it sends no credentials."""

    def __init__(self, user: User | None = None, /, **headers: str) -> None:
        self._client = Client()
        self._headers = dict(headers)
        if user is not None:
            self._headers["Authorization"] = f"Bearer {issue_tokens(user).access}"

    def get(self, path: str, query: dict[str, Any] | None = None, /, **headers: str) -> Any:
        return self._client.get(self._url(path), query, headers=self._headers | headers)

    def post(self, path: str, body: Any = None, /, **headers: str) -> Any:
        return self._send("post", path, body, headers)

    def put(self, path: str, body: Any = None, /, **headers: str) -> Any:
        return self._send("put", path, body, headers)

    def patch(self, path: str, body: Any = None, /, **headers: str) -> Any:
        return self._send("patch", path, body, headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._send("delete", path, None, headers)

    def upload(self, path: str, content: Any, /, content_type: str = "multipart/form-data") -> Any:
        """Post files (by the names of their fields), or a text of another kind than JSON."""
        if isinstance(content, dict):
            return self._client.post(self._url(path), content, headers=self._headers)
        return self._client.post(self._url(path), content, content_type=content_type, headers=self._headers)

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> HttpResponse:
        text = body if isinstance(body, str | bytes) else json.dumps({} if body is None else body)
        send = getattr(self._client, method)
        answer: HttpResponse = send(
            self._url(path), text, content_type="application/json", headers=self._headers | headers
        )
        return answer

    @staticmethod
    def _url(path: str) -> str:
        return path if path.startswith("/") else f"/api/v1/{path}"


def problem_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Return a problem+json answer; fails unless it is one with this status and code."""
    assert answer.status_code == status, answer.content.decode()
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code), body
    assert {"type", "title", "detail", "instance"} <= body.keys()
    return body
