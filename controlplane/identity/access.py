"""What each door of the web service asks of whoever knocks; a door that no table names stays shut."""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum


class Access(StrEnum):
    """What a route needs, from open to closed.

    PUBLIC    nobody signed in; only what a sign-in page needs
    MACHINE   a program on this machine, or anybody signed in
    SIGNED_IN somebody signed in; a person known from memory is enough while the database is away
    STOP      somebody signed in, wants to stop; passes while the database is away
    ACT       somebody signed in, wants to change something else; refused while the database is away
    """

    PUBLIC = "public"
    MACHINE = "machine"
    SIGNED_IN = "signed-in"
    STOP = "stop"
    ACT = "act"


SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from, as the server itself saw it: never as a header claims.

    Fields
        address       peer of the connection
        host          name that the caller used for us, without the port
        is_forwarded  a proxy says that it speaks for somebody else
    """

    address: str
    host: str
    is_forwarded: bool

    @property
    def is_this_machine(self) -> bool:
        """Whether the request was made on this machine for itself, not passed on by a proxy that runs here."""
        return not self.is_forwarded and is_loopback_address(self.address)


def is_loopback_address(address: str) -> bool:
    """Whether the text is an address that only this machine can reach; False for anything that is no address."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def is_loopback_host(host: str) -> bool:
    """Whether the name in a Host header stands for this machine."""
    return host in LOOPBACK_NAMES or is_loopback_address(host)


def host_of(header: str) -> str:
    """The name in a Host header, lower case, without its port; empty when the header is malformed."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[: text.index("]") + 1] if "]" in text else ""
    name, _, port = text.partition(":")
    return name if port.isdigit() or not port else ""


def is_own_host(host: str, *, listening: str) -> bool:
    """Whether we answer to this name.

    A page of a foreign site can be made to resolve to this machine; its Host header still carries the foreign name.
    When we listen on every address, any name may be ours and the secure cookie decides instead.
    """
    if is_loopback_host(host) or host == listening.lower():
        return True
    try:
        return ipaddress.ip_address(listening).is_unspecified
    except ValueError:
        return False
