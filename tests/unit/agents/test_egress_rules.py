import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_service.agents.egress_rules import (
    AllowedHost,
    EgressRefused,
    check_url,
    is_public,
    parse_allowed,
)
from workflow_service.engine.states import ErrorType

ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6)


@given(ipv4)
def test_what_python_calls_local_is_not_public(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(address)


@given(ipv6)
def test_what_python_calls_local_is_not_public_in_ipv6(address: IPv6Address) -> None:
    wrapped = address.ipv4_mapped is not None or address in ip_network("64:ff9b::/96")
    if not wrapped and (not address.is_global or address.is_multicast):
        assert not is_public(address)


@given(ipv4)
def test_an_ipv4_address_is_judged_the_same_inside_ipv6(address: IPv4Address) -> None:
    mapped = IPv6Address(f"::ffff:{address}")
    nat64 = IPv6Address(int(IPv6Address("64:ff9b::")) | int(address))
    assert is_public(mapped) == is_public(nat64) == is_public(address)
    assert not is_public(IPv6Address(int(IPv6Address("2002::")) | int(address) << 80))
    assert not is_public(IPv6Address(int(address)))


PUBLIC = """
93.184.216.34 1.1.1.1 100.63.255.255 172.15.0.1 172.32.0.1 192.167.1.1 223.255.255.255
2606:2800:220:1:248:1893:25c8:1946 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:4860:4860::8888
"""
NOT_PUBLIC = """
0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.8 192.168.1.1 198.18.0.1 224.0.0.1
168.63.129.16 239.255.255.250 255.255.255.255 192.88.99.1 :: ::1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
64:ff9b::127.0.0.1 64:ff9b:1::1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 2001:db8::1 2002:7f00:1::
2002:808:808:: 3fff::1 5f00::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
"""


@pytest.mark.parametrize("text", PUBLIC.split())
def test_public_addresses(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC.split())
def test_other_addresses(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    ("entry", "host", "address", "port", "covered"),
    [
        ("db.internal", "db.internal", "10.0.0.5", 5432, True),
        ("DB.internal.", "db.internal", "10.0.0.5", 80, True),
        ("db.internal", "xdb.internal", "10.0.0.5", 80, False),
        ("db.internal:80", "db.internal", "10.0.0.5", 80, True),
        ("db.internal:80", "db.internal", "10.0.0.5", 81, False),
        ("10.0.0.0/8", "anything", "10.9.9.9", 1, True),
        ("10.0.0.0/8", "anything", "11.9.9.9", 1, False),
        ("10.0.0.0/8", "anything", "::ffff:10.9.9.9", 1, True),
        ("127.0.0.1:9000", "localhost", "127.0.0.1", 9000, True),
        ("127.0.0.1:9000", "localhost", "127.0.0.1", 9001, False),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 9001, True),
        ("::1", "localhost", "::1", 80, True),
        ("[::1]:80", "localhost", "::1", 80, True),
        ("[::1]:80", "localhost", "::1", 81, False),
        ("fd00::/8", "x", "fd12::1", 81, True),
    ],
)
def test_allowed_entries(entry: str, host: str, address: str, port: int, covered: bool) -> None:
    (allowed,) = parse_allowed([entry])
    assert allowed.covers(host, ip_address(address), port) is covered


@pytest.mark.parametrize(
    "entry", ["a b", "host:0", "host:70000", "host:x", "10.0.0.0/33", "http://x", "*.internal"]
)
def test_an_entry_that_says_nothing_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="EGRESS_ALLOW: "):
        parse_allowed([entry])


def test_empty_entries_are_left_out() -> None:
    assert parse_allowed(["", " ", "a.example "]) == (AllowedHost("a.example"),)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://a.example/", "scheme 'ftp'"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("gopher://a.example/", "scheme"),
        ("//a.example/", "scheme ''"),
        ("http://user:pass@a.example/", "credentials in the URL"),
        ("http://user@a.example/", "credentials in the URL"),
        ("http:///path", "names no host"),
        ("http://a.example:0/", "no port 0"),
        ("http://a.example:99999/", "no port 99999"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://0x7f.0.0.1/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://127.0.0.0x1/", "four decimal numbers"),
        ("http://a.example.1/", "four decimal numbers"),
        ("http://[fe80::1%25eth0]/", "not a host name"),
        ("http://exa mple/", "not a host name"),
    ],
)
def test_urls_that_may_not_be_asked_for(url: str, said: str) -> None:
    with pytest.raises(EgressRefused, match=said) as caught:
        check_url(httpx.URL(url))
    assert caught.value.error_type == ErrorType.AUTHORIZATION_ERROR
    assert caught.value.details["reason"] == "EGRESS_REFUSED"


@pytest.mark.parametrize(
    "url", ["http://a.example/", "https://1.1.1.1:8443/x", "http://[2606::1]/", "http://bücher.example"]
)
def test_plain_urls_pass(url: str) -> None:
    check_url(httpx.URL(url))


@given(ipv4)
def test_every_spelling_of_a_number_but_the_plain_one_is_refused(address: IPv4Address) -> None:
    octets = address.packed
    spellings = [str(int(address)), hex(int(address)), ".".join(f"0{octet:o}" for octet in octets)]
    spellings += [".".join(hex(octet) for octet in octets), f"{octets[0]}.{int.from_bytes(octets[1:])}"]
    for spelling in spellings:
        try:
            plain = ipaddress.ip_address(spelling)
        except ValueError:
            # httpx itself refuses some of them.
            with pytest.raises((EgressRefused, httpx.InvalidURL)):
                check_url(httpx.URL(f"http://{spelling}/"))
        else:
            assert plain.version == 4
