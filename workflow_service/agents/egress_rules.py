"""Which places requests may go to: public addresses, and what the operator names in EGRESS_ALLOW.

Pure: addresses come resolved. Whatever is not certainly a public address is not one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import httpx

from workflow_service.agents.errors import ToolError
from workflow_service.engine.states import ErrorType

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SCHEMES = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")

# IANA's special-purpose registries (RFC 6890 and its successors), multicast and what is reserved.
_NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        # Not reserved by anybody, but the metadata address of a cloud (Azure's "wire server").
        "168.63.129.16/32",
    )
)
_PUBLIC_IPV6 = IPv6Network("2000::/3")
# Protocol assignments (Teredo among them), documentation, and 6to4, which carries an IPv4 address inside.
_NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")

# A last label of digits, or 0x…, makes an IPv4 address in one of inet_aton's spellings (URL Standard, 3.5).
_NUMERIC_END = re.compile(r"(.*\.)?(\d+|0[xX][0-9a-fA-F]*)\.?", re.DOTALL)


class EgressRefused(ToolError):
    """A request was not made: where it would go is not open to workflows."""

    code = "EGRESS_REFUSED"

    def __init__(self, message: str) -> None:
        super().__init__(ErrorType.AUTHORIZATION_ERROR, message, details={"reason": self.code})


def is_public(address: Address) -> bool:
    """Tell whether an address is a public one; IPv4 addresses inside IPv6 ones are judged as such."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        unscoped = IPv6Address(int(address))
        return unscoped in _PUBLIC_IPV6 and not any(unscoped in network for network in _NOT_PUBLIC_IPV6)
    return not any(address in network for network in _NOT_PUBLIC_IPV4)


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """A host name or network that may be reached although not public; ``port`` None is every port."""

    host: str | Network
    port: int | None = None

    def covers(self, host: str, address: Address, port: int) -> bool:
        """Tell whether a connection to ``address`` for ``host`` is allowed by this entry."""
        if self.port not in (None, port):
            return False
        if isinstance(self.host, str):
            return host == self.host
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address) in self.host


def parse_allowed(entries: Iterable[str]) -> tuple[AllowedHost, ...]:
    """Read entries like ``host``, ``host:port``, ``[::1]:80`` or ``10.0.0.0/8``; raises ``ValueError``."""
    return tuple(_parse_allowed(entry.strip()) for entry in entries if entry.strip())


def check_url(url: httpx.URL) -> None:
    """Raise ``EgressRefused`` for a URL that may not be asked for, before anything is resolved."""
    if url.scheme not in SCHEMES:
        raise EgressRefused(f"the scheme '{url.scheme}' is not allowed; use http or https")
    if url.userinfo:
        raise EgressRefused("credentials in the URL are not allowed; send an Authorization header")
    if not url.host:
        raise EgressRefused("the URL names no host")
    if url.port is not None and not 0 < url.port < 65_536:
        raise EgressRefused(f"there is no port {url.port}")
    if "%" in url.host:
        raise EgressRefused(f"'{url.host}' is not a host name")
    if ":" not in url.host and _NUMERIC_END.fullmatch(url.host) and not _is_plain_ipv4(url.host):
        raise EgressRefused(f"'{url.host}' is not a host name; write IPv4 addresses as four decimal numbers")


def _is_plain_ipv4(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv4Address)
    except ValueError:
        return False


def _parse_allowed(entry: str) -> AllowedHost:
    network = _network(entry)
    if network is not None:
        return AllowedHost(network)
    host, colon, port = entry.rpartition(":")
    if not colon:
        host, port = entry, ""
    elif not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(
            f"EGRESS_ALLOW: '{entry}' names no port; write host, host:port or a network like 10.1.0.0/16"
        )
    network = _network(host.removeprefix("[").removesuffix("]"))
    name = host.rstrip(".").lower()
    if network is None and not _HOST_NAME.fullmatch(name):
        raise ValueError(
            f"EGRESS_ALLOW: '{entry}' is not a host; write host, host:port or a network like 10.1.0.0/16"
        )
    return AllowedHost(name if network is None else network, int(port) if port else None)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
