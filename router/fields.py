"""Header field names the edge acts on; every other field passes end to end.

Pure. A name is classified once per spelling: clients and replicas repeat the same few, so the
hot path is one dict hit on the bytes as received, without lower-casing them.
"""

from __future__ import annotations

import re

PLAIN = 0
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
HOP = 5  # hop-by-hop, consumed here (RFC 9110 §7.6.1)
UPGRADE = 6
EXPECT = 7
REQUEST_ID = 8
FORWARDED = 9  # describes the client; believed only from a trusted proxy
OURS = 10  # the edge's own word: never taken from outside
MAX_FORWARDS = 11
DATE = 12
TRAILER = 13

_SPECIAL = {
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
    b"x-forwarded-client-cert": OURS,  # contract §9.4: strip from clients always
    b"proxy": OURS,  # becomes HTTP_PROXY in CGI programs ("httpoxy", CVE-2016-5385)
    b"max-forwards": MAX_FORWARDS,
    b"date": DATE,
    b"trailer": TRAILER,
}

_MAX_REMEMBERED = 4096
KNOWN: dict[bytes, int] = {}  # spellings seen so far; loops look here before they call `kind_of`


def kind_of(name: bytes) -> int:
    """The constant above that `name` stands for, in any spelling."""
    try:
        return KNOWN[name]
    except KeyError:
        pass
    kind = _classify(name.lower())
    if len(KNOWN) >= _MAX_REMEMBERED:
        KNOWN.clear()
    KNOWN[name] = kind
    return kind


def _classify(name: bytes) -> int:
    if name.startswith(b"x-turnout-"):
        return OURS
    if b"_" in name:
        # CGI and WSGI fold "_" and "-" into one name, so a twin would pass for the real field.
        twin = _SPECIAL.get(name.replace(b"_", b"-"), PLAIN)
        is_ours = name.replace(b"_", b"-").startswith(b"x-turnout-")
        return OURS if twin != PLAIN or is_ours else PLAIN
    return _SPECIAL.get(name, PLAIN)


# A field that Connection may not take away: it routes, frames, authorises, or is ours (RFC 9110
# §7.6.1 forbids listing end-to-end fields; taking them at a client's word is an attack).
_NOT_REMOVABLE = frozenset(
    {HOST, CONTENT_LENGTH, TRANSFER_ENCODING, FORWARDED, OURS, REQUEST_ID, MAX_FORWARDS, DATE}
)
_KEPT = frozenset(
    {b"authorization", b"cookie", b"set-cookie", b"cache-control", b"content-type"}
    | {b"close", b"keep-alive", b"upgrade"}
)


class ConnectionOptions:
    """What a Connection field says: does the sender stay, and which fields end here."""

    __slots__ = ("closes", "keeps_alive", "removes", "upgrades")

    def __init__(self, value: bytes) -> None:
        options = {o.strip(b" \t").lower() for o in value.split(b",")} - {b""}
        self.closes = b"close" in options
        self.keeps_alive = b"keep-alive" in options and not self.closes
        self.upgrades = b"upgrade" in options
        self.removes = frozenset(
            o for o in options - _KEPT if kind_of(o) not in _NOT_REMOVABLE and kind_of(o) != HOP
        )


_connections: dict[bytes, ConnectionOptions] = {}


def connection_options(value: bytes) -> ConnectionOptions:
    """A Connection field value, read (RFC 9110 §7.6.1); remembered, as few are ever sent."""
    known = _connections.get(value)
    if known is not None:
        return known
    options = ConnectionOptions(value)
    if len(_connections) >= _MAX_REMEMBERED:
        _connections.clear()
    _connections[value] = options
    return options


# Fields that change framing, routing, authority or the meaning of the message may not arrive
# after it has been acted upon (RFC 9110 §6.5.1).
_FORBIDDEN_IN_TRAILERS = frozenset(
    b"authorization cookie set-cookie cache-control content-encoding content-range content-type "
    b"age expires location pragma range retry-after vary warning www-authenticate if-match "
    b"if-none-match if-modified-since if-unmodified-since if-range accept-encoding".split()
)


def allowed_in_trailer(name: bytes) -> bool:
    """Whether a trailer field of that name may be passed on."""
    return kind_of(name) == PLAIN and name.lower() not in _FORBIDDEN_IN_TRAILERS


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
