"""Server-side request forgery, trick by trick: none reaches an address that is not public or opened."""

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.invocations import make_invocation, make_limits
from tests.misbehaving_server import MisbehavingServer, misbehaving_server
from workflow_service.agents.api_requests import send_request
from workflow_service.agents.configuration import ApiConfiguration, read_configuration
from workflow_service.agents.egress import Resolver
from workflow_service.agents.errors import ToolError
from workflow_service.engine.states import ErrorType, ToolType

PUBLIC = "93.184.216.34"


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    """What must not be reached: it listens on all of loopback."""
    with misbehaving_server("0.0.0.0") as serving:  # noqa: S104 - so that 127.0.0.2 and others lead to it, too
        yield serving


@pytest.fixture(autouse=True)
def forgotten(server: MisbehavingServer) -> None:
    server.requests.clear()


class Names:
    """A name server in the attacker's hands; addresses are answered as themselves, as the system does."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        try:
            return [str(found[4][0]) for found in socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)]
        except OSError:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def ask(url: str, resolve: Resolver, *, allow: Sequence[str] = (), **more: Any) -> Any:
    given = {"endpoint": url, **more}
    limits = make_limits(Path("nowhere"), egress_allow=tuple(allow))
    invocation = make_invocation(ToolType.API, given, timeout_s=0.5)
    return send_request(invocation, read_configuration(ApiConfiguration, given), limits, resolve)


def refusal(url: str, resolve: Resolver, **more: Any) -> ToolError:
    with pytest.raises(ToolError) as caught:
        ask(url, resolve, **more)
    return caught.value


HOSTS = {
    "loopback": "127.0.0.1",
    "loopback-other": "127.0.0.2",
    "loopback-6": "[::1]",
    "any": "0.0.0.0",  # noqa: S104 - a destination here
    "any-6": "[::]",
    "private-10": "10.0.0.1",
    "private-172": "172.16.0.1",
    "private-192": "192.168.1.1",
    "carrier": "100.64.0.1",
    "link-local": "169.254.1.1",
    "link-local-6": "[fe80::1]",
    "link-local-6-zone": "[fe80::1%25lo]",
    "unique-local": "[fd00::1]",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "metadata-aws": "169.254.169.254",
    "metadata-aws-6": "[fd00:ec2::254]",
    "metadata-azure": "168.63.129.16",
    "metadata-alibaba": "100.100.100.200",
    "metadata-oracle": "192.0.0.192",
    "mapped": "[::ffff:127.0.0.1]",
    "mapped-hex": "[::ffff:7f00:1]",
    "compatible": "[::127.0.0.1]",
    "nat64": "[64:ff9b::7f00:1]",
    "nat64-private": "[64:ff9b::10.0.0.1]",
    "nat64-local": "[64:ff9b:1::1]",
    "6to4": "[2002:7f00:1::]",
    "teredo": "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "decimal": "2130706433",
    "octal": "0177.0.0.1",
    "octal-whole": "017700000001",
    "hexadecimal": "0x7f000001",
    "hexadecimal-dotted": "0x7f.0x0.0x0.0x1",
    "short": "127.1",
    "shorter": "0",
    "mixed": "127.0x0.01",
    "too-large": "4294967297",
    "trailing-dot": "127.0.0.1.",
    "trailing-dot-decimal": "2130706433.",
    "leading-zeros": "127.000.000.001",
    "full-width": "１２７.０.０.１",  # noqa: RUF001 - on purpose
    "circled": "①②⑦.⓪.⓪.①",
    "ideographic-dots": "127。0。0。1",
    "percent-encoded": "%31%32%37.0.0.1",
    "localhost": "localhost",
    "localhost-dot": "localhost.",
    "localhost-case": "LOCALHOST",
    "subdomain-of-localhost": "a.localhost",
    "metadata-google": "metadata.google.internal",
    "metadata-google-dot": "metadata.google.internal.",
    "wildcard-dns": "127.0.0.1.nip.example",
}


@pytest.mark.parametrize("trick", HOSTS)
def test_hosts(server: MisbehavingServer, trick: str) -> None:
    # What is no address is a name, and the name server says what attackers let theirs say.
    answer = "169.254.169.254" if "google" in trick else "127.0.0.1"
    error = refusal(f"http://{HOSTS[trick]}:{server.port}/json", Names([answer]))
    assert error.error_type in (ErrorType.AUTHORIZATION_ERROR, ErrorType.CONFIGURATION_ERROR)
    if error.error_type is ErrorType.AUTHORIZATION_ERROR:
        assert error.details["reason"] == "EGRESS_REFUSED"
    else:
        assert "is not a URL" in error.message
    assert not error.retryable
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://public.example@127.0.0.1:{port}/json",
        "http://127.0.0.1:{port}@public.example/json",
        "http://public.example:80@127.0.0.1:{port}/json",
        "http://127.0.0.1:{port}\\@public.example/json",
        "http://public.example#@127.0.0.1:{port}/json",
        "http://[::ffff:127.0.0.1%25eth0]:{port}/json",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_GET",
        "http:127.0.0.1:{port}/json",
        "http://127.0.0.1\t:{port}/json",
        "http://127.0.0.1\n:{port}/json",
    ],
)
def test_urls_that_two_parsers_read_in_two_ways(server: MisbehavingServer, url: str) -> None:
    refusal(url.replace("{port}", str(server.port)), Names([PUBLIC]))
    assert server.requests == []


def test_one_private_address_among_public_ones_is_enough(server: MisbehavingServer) -> None:
    for answer in ([PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::ffff:127.0.0.1"]):
        names = Names(answer)
        assert refusal(f"http://a.example:{server.port}/", names).details["reason"] == "EGRESS_REFUSED"
    assert server.requests == []


def test_a_name_that_changes_its_mind_is_asked_once_for_a_connection(server: MisbehavingServer) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    error = refusal(f"http://rebinding.example:{server.port}/", names)
    assert error.error_type in (ErrorType.TIMEOUT_ERROR, ErrorType.NETWORK_ERROR), "it went to the public one"
    assert names.asked == ["rebinding.example"]
    assert server.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/json",
        "http://[::1]:{port}/json",
        "http://2130706433:{port}/json",
        "//127.0.0.2:{port}/json",
        "http://internal.example:{port}/json",
        "file:///etc/passwd",
        "http://x@127.0.0.1:{port}/json",
    ],
)
def test_redirects_to_what_is_not_open(server: MisbehavingServer, status: int, target: str) -> None:
    place = quote(target.replace("{port}", str(server.port)))
    error = refusal(
        f"http://127.0.0.1:{server.port}/redirect/{status}?to={place}",
        Names(["10.0.0.1"]),
        allow=[f"127.0.0.1:{server.port}"],
    )
    assert error.details["reason"] == "EGRESS_REFUSED"
    assert len(server.requests) == 1


def test_what_the_operator_opens_is_open_and_nothing_beside_it(server: MisbehavingServer) -> None:
    names = Names(["127.0.0.1"])
    url = f"http://internal.example:{server.port}/json"
    for allow in (["internal.example"], [f"internal.example:{server.port}"], ["127.0.0.0/8"]):
        assert ask(url, names, allow=allow)["status"] == 200
    for allow in (["other.example"], ["internal.example:1"], ["10.0.0.0/8"], ["127.0.0.1:1"]):
        assert refusal(url, names, allow=allow).details["reason"] == "EGRESS_REFUSED"
    assert len(server.requests) == 3


def test_proxies_of_the_environment_are_not_asked(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with misbehaving_server() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert ask(f"http://127.0.0.1:{server.port}/json", Names([]), allow=["127.0.0.1"])["status"] == 200
        assert refusal("http://10.0.0.1/", Names([])).details["reason"] == "EGRESS_REFUSED"
        assert proxy.requests == []


def test_the_refusal_does_not_tell_the_address() -> None:
    error = refusal("http://internal.example/", Names(["10.20.30.40"]))
    assert "10.20.30.40" not in error.message + str(error.details)
