"""A mail server on loopback that keeps what it takes, and can be told to refuse, to break off, or to call back."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """``mails`` are those it accepted. ``refused`` answers an address with a line; ``on_accept`` is called once a
    message is accepted, and before the sender hears of it; ``closing`` answers whatever comes with 421.
    """

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    closing: bool = False
    connections: int = 0
    on_accept: Callable[[], object] | None = None

    def message_ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.mails]


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Serve until the block ends."""
    described = MailServer()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Session)
    server.daemon_threads = True
    server.described = described  # type: ignore[attr-defined]
    described.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield described
    finally:
        server.shutdown()
        server.server_close()


class _Session(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self) -> None:
        with suppress(OSError):
            self._talk(self.server.described)  # type: ignore[attr-defined]

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _talk(self, server: MailServer) -> None:
        server.connections += 1
        if server.closing:
            self._say("421 closing")
            return
        self._say("220 here")
        recipient = ""
        while line := self.rfile.readline().decode("utf-8", "replace").strip():
            verb = line.split(":")[0].upper()
            if verb.startswith(("EHLO", "HELO")):
                self._say("250-here")
                self._say("250 8BITMIME")
            elif verb.startswith("RCPT"):
                recipient = line.partition("<")[2].partition(">")[0]
                self._say(server.refused.get(recipient, "250 fine"))
            elif verb == "DATA":
                self._say("354 go on")
                self._take(server, recipient)
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _take(self, server: MailServer, recipient: str) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        parsed = message_from_bytes(b"".join(lines), policy=policy.default)
        server.mails.append(parsed)
        server.recipients.append(recipient)
        if server.on_accept is not None:
            server.on_accept()
        self._say("250 taken")
