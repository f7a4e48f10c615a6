"""Header field names the edge acts on; every other field passes end to end.

Pure. A name is classified once per spelling: clients and replicas repeat the same few, so the
hot path is one dict hit on the bytes as received, without lower-casing them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from router.contract.memo import Memo
from router.contract.settings import TRUSTED_ONLY

PLAIN: Final = 0
HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
HOP: Final = 5  # hop-by-hop: ends here (RFC 9110 §7.6.1)
UPGRADE: Final = 6
EXPECT: Final = 7
REQUEST_ID: Final = 8
FORWARDED: Final = 9  # describes the client; believed only from a trusted proxy
OURS: Final = 10  # the edge's own statement: dropped from everything received
MAX_FORWARDS: Final = 11
DATE: Final = 12
TRAILER: Final = 13
VIA: Final = 14
HOPS: Final = 15  # how often a request has passed a turnout that does not add to Via

_SPECIAL: Final = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authenticate": HOP,
    b"proxy-authorization": HOP,
    b"te": HOP,
    b"http2-settings": HOP,  # h2c upgrades are not offered (RFC 9113 §3.1 retired them)
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-request-id": REQUEST_ID,
    b"forwarded": FORWARDED,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-client-cert": OURS,  # always removed, since a client could forge it
    b"proxy": OURS,  # becomes HTTP_PROXY in CGI programs ("httpoxy", CVE-2016-5385)
    b"max-forwards": MAX_FORWARDS,
    b"date": DATE,
    b"trailer": TRAILER,
    b"via": VIA,
    b"x-turnout-hops": HOPS,
}

# Spellings seen so far; at most 200 KB.
_kinds: Final[Memo[int]] = Memo(most=1024, longest=64)
KNOWN: Final = _kinds.known  # hot loops look here before they call `kind_of`

_trusted_only: frozenset[bytes] = frozenset()
_trusted_only_prefixes: tuple[bytes, ...] = ()


def believe_only_proxies(names: Iterable[str]) -> None:
    """Make these names FORWARDED; a name that ends in `*` stands for all that begin like it.

    Called once per process, before its first request.
    """
    global _trusted_only, _trusted_only_prefixes
    lowered = [name.lower().encode() for name in names]
    _trusted_only = frozenset(lowered)
    _trusted_only_prefixes = tuple(name[:-1] for name in lowered if name.endswith(b"*"))
    KNOWN.clear()


believe_only_proxies(TRUSTED_ONLY)


def kind_of(name: bytes) -> int:
    """The kind of a field by its name, in any spelling: one of the constants above."""
    kind = KNOWN.get(name)
    return kind if kind is not None else _kinds.keep(name, _classify(name.lower()))


def _classify(name: bytes) -> int:
    kind = _SPECIAL.get(name)
    if kind is not None:
        return kind
    if name.startswith(b"x-turnout-"):
        return OURS
    if name in _trusted_only or name.startswith(_trusted_only_prefixes):
        return FORWARDED
    if b"_" in name and _classify(name.replace(b"_", b"-")) != PLAIN:
        return OURS  # CGI and WSGI treat "_" as "-", so this name would pass for the real field
    return PLAIN


# Fields that Connection may not remove: they route, frame or authorise, or are ours. RFC 9110
# §7.6.1 forbids listing end-to-end fields; obeying a client that does would be an attack.
_NOT_REMOVABLE: Final = frozenset(
    {HOST, CONTENT_LENGTH, TRANSFER_ENCODING, FORWARDED, OURS, REQUEST_ID, MAX_FORWARDS, DATE}
    | {VIA, HOPS}
)
_KEPT: Final = frozenset(
    {b"authorization", b"cookie", b"set-cookie", b"cache-control", b"content-type"}
    | {b"close", b"keep-alive", b"upgrade"}
)


# RFC 9110 §5.6.1.2 asks recipients to accept some empty list elements, but not so many that they
# could be used to deny service. In practice Connection has two or three options.
MAX_ELEMENTS: Final = 32


def is_number(value: bytes) -> bool:
    """Whether a value is a decimal number that a length may have."""
    return value.isdigit() and len(value) <= 18


def without(names: frozenset[bytes], lines: list[bytes]) -> list[bytes]:
    """The field lines, four pieces each, without the fields of these names."""
    kept = [at for at in range(0, len(lines), 4) if lines[at].lower() not in names]
    return [piece for at in kept for piece in lines[at : at + 4]]


def elements(value: bytes) -> list[bytes] | None:
    """The elements of a comma-separated value in lower case; None when there are too many."""
    if value.count(b",") >= MAX_ELEMENTS:
        return None
    return [found for e in value.split(b",") if (found := e.strip(b" \t").lower())]


def joined(before: bytes, value: bytes) -> bytes:
    """Two lists as one.

    The second is left out if the first is already too long and will be refused.
    """
    return before if before.count(b",") >= MAX_ELEMENTS else b"%b,%b" % (before, value)


class ConnectionOptions:
    """What a Connection field says: whether the sender stays, and which fields end here."""

    __slots__ = ("closes", "keeps_alive", "removes", "upgrades")

    def __init__(self, options: set[bytes]) -> None:
        self.closes = b"close" in options
        self.keeps_alive = b"keep-alive" in options and not self.closes
        self.upgrades = b"upgrade" in options
        self.removes = frozenset(
            o for o in options - _KEPT if kind_of(o) not in _NOT_REMOVABLE and kind_of(o) != HOP
        )


# Few different values are ever sent; at most 1 MB, since a short value has few options.
_connections: Final[Memo[ConnectionOptions]] = Memo(most=256, longest=64)
_KNOWN_CONNECTIONS: Final = _connections.known


def connection_options(value: bytes) -> ConnectionOptions | None:
    """A parsed Connection value (RFC 9110 §7.6.1); None when it has too many options."""
    known = _KNOWN_CONNECTIONS.get(value)
    if known is not None:
        return known
    options = elements(value)
    if options is None:
        return None
    return _connections.keep(value, ConnectionOptions(set(options)))


# Fields that change framing, routing, authority or the meaning of the message may not arrive after
# the message has been acted on (RFC 9110 §6.5.1).
_FORBIDDEN_IN_TRAILERS: Final = frozenset(
    b"authorization cookie set-cookie cache-control content-encoding content-range content-type "
    b"age expires location pragma range retry-after vary warning www-authenticate if-match "
    b"if-none-match if-modified-since if-unmodified-since if-range accept-encoding".split()
)


def allowed_in_trailer(name: bytes) -> bool:
    """Whether a trailer field of this name may be passed on."""
    return kind_of(name) == PLAIN and name.lower() not in _FORBIDDEN_IN_TRAILERS


TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD_LINE: Final = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
