"""A request's head: parsed once, and rewritten for the replica.

Pure. `RequestReading` decides framing, host, connection options and forwarded fields before any
upstream is used (RFC 9110 §7, RFC 9112 §3 and §6). In doubt it refuses: a request that two parsers
can understand differently is how routers get broken into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from router.contract import outcomes
from router.contract.hosts import fold
from router.contract.outcomes import Outcome, bad_request
from router.http.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    EXPECT,
    FORWARDED,
    HOPS,
    HOST,
    KNOWN,
    MAX_ELEMENTS,
    MAX_FORWARDS,
    PLAIN,
    REQUEST_ID,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
    connection_options,
    elements,
    is_number,
    joined,
    kind_of,
    without,
)
from router.http.trail import VIA_LINE, Trail

# RFC 9110 §9.2.2: a request with any other method is never sent twice.
IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
_SANE_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_ABSOLUTE: Final = re.compile(rb"http://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_HOP_COUNTS: Final = (MAX_FORWARDS, VIA, HOPS)


@dataclass(frozen=True, slots=True)
class Ingress:
    """What all requests of a connection have in common."""

    forwarded: bytes  # ready X-Forwarded-For, -Proto and -Port lines
    peer: bytes  # the client's address
    is_trusted: bool  # the peer is a proxy whose forwarded fields are believed
    via: bytes = VIA_LINE  # or HOPS_LINE: the mark for a request that has passed no router yet
    max_target_bytes: int = 8192
    max_fields: int = 100


class RequestHead:
    """A request as the edge understood it; `wire` is the head that is sent to the replica."""

    __slots__ = (
        "block",
        "expects_continue",
        "has_body",
        "host_key",
        "is_chunked",
        "is_http11",
        "is_idempotent",
        "keeps_alive",
        "length",
        "method",
        "request_id",
        "target",
        "upgrade",
        "wire",
    )

    block: bytes  # the fields as received, from the end of the request line on
    method: bytes
    target: bytes
    host_key: bytes
    is_http11: bool
    is_idempotent: bool
    keeps_alive: bool
    length: int  # bytes of a body with Content-Length; 0 without one
    has_body: bool  # whether a body follows the head
    is_chunked: bool
    expects_continue: bool
    upgrade: bytes  # the protocols that the client asks to upgrade to, or empty
    request_id: bytes
    wire: bytes

    def __repr__(self) -> str:
        return f"<{self.method.decode()} {self.host_key.decode()}{self.target.decode('latin-1')}>"


class RequestReading:
    """Collects what llhttp reports of one head, then interprets it as a whole."""

    __slots__ = (
        "connection",
        "expect",
        "forwarded",
        "framings",
        "hosts",
        "is_chunked",
        "length",
        "lines",
        "max_forwards",
        "number",
        "refusal",
        "request_ids",
        "target",
        "trail",
        "upgrade",
    )

    def __init__(self) -> None:
        self.target = b""
        self.number = 0  # of fields so far
        self.refusal: Outcome | None = None  # the answer to the first bad field
        self.lines: list[bytes] = []  # the fields to send on, four pieces each
        self.hosts: list[bytes] = []
        self.length: int | None = None
        self.is_chunked = False
        self.framings = 0
        self.connection = b""
        self.upgrade = b""
        self.expect = b""
        # a shared tuple: few requests have an id, and a list would be made for each
        self.request_ids: tuple[bytes, ...] = ()
        self.forwarded: tuple[tuple[bytes, bytes], ...] = ()
        self.max_forwards: bytes | None = None
        self.trail: Trail | None = None

    def on_url(self, url: bytes) -> None:
        """Called by llhttp once per head, since llhttp is only fed whole heads."""
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each field."""
        self.number += 1
        kind = KNOWN.get(name)
        if kind is None:
            kind = kind_of(name)
        if kind == PLAIN:
            lines = self.lines
            lines.append(name)
            lines.append(b": ")
            lines.append(value)
            lines.append(b"\r\n")
        elif kind == HOST:
            self.hosts.append(value.rstrip(b" \t"))
        elif self.refusal is None:
            self.refusal = self._take(kind, name, value)

    def _take(self, kind: int, name: bytes, value: bytes) -> Outcome | None:
        if kind == CONNECTION:
            self.connection = joined(self.connection, value) if self.connection else value
        elif kind in (CONTENT_LENGTH, TRANSFER_ENCODING):
            return _read_framing(self, kind, value.strip(b" \t"))
        elif kind == UPGRADE:
            self.upgrade += b", " + value if self.upgrade else value
        elif kind == EXPECT:
            self.expect += b", " + value if self.expect else value
        elif kind == REQUEST_ID:
            self.request_ids += (value.strip(b" \t"),)
        elif kind == FORWARDED:
            self.forwarded += ((name, value),)
        elif kind in (DATE, TRAILER):
            self.lines += (name, b": ", value, b"\r\n")
        elif kind in _HOP_COUNTS and _read_hops(self, kind, value.strip(b" \t")):
            return outcomes.LOOP_DETECTED
        # HOP and OURS are not sent on
        return None

    def read(
        self, method: bytes, version: bytes, ingress: Ingress, new_id: bytes
    ) -> RequestHead | Outcome:
        """Interpret a head that llhttp accepted: the head, or the refusal the client gets.

        `new_id` becomes the request id if the client did not send a usable one.
        """
        if version != b"1.1" and version != b"1.0":
            return outcomes.VERSION_UNKNOWN
        if method == b"CONNECT":
            return outcomes.CONNECT_REFUSED
        if len(self.target) > ingress.max_target_bytes:
            return outcomes.URI_TOO_LONG
        if self.number > ingress.max_fields:
            return outcomes.TOO_MANY_FIELDS
        if self.refusal is not None:
            return self.refusal
        head = RequestHead()
        head.block = b""
        head.method = method
        head.is_http11 = version == b"1.1"
        refusal = _take_target(head, self) or _take_framing(head, self)
        if refusal is None and (self.expect or self.max_forwards is not None):
            refusal = _take_expectations(head, self)
        elif refusal is None:
            head.expects_continue = False
        if refusal is not None:
            return refusal
        if self.connection:
            refusal = _take_connection(head, self)
            if refusal is not None:
                return refusal
        else:
            head.upgrade = b""
            head.keeps_alive = head.is_http11
        ids = self.request_ids
        is_sane = ids and len(ids) == 1 and _SANE_REQUEST_ID.fullmatch(ids[0])
        head.request_id = ids[0] if is_sane else new_id
        head.is_idempotent = method in IDEMPOTENT
        head.wire = _wire(head, self, ingress)
        return head


def _read_hops(read: RequestReading, kind: int, value: bytes) -> bool:
    """Take in a field that counts hops; returns whether the request goes in circles."""
    if kind == MAX_FORWARDS:
        read.max_forwards = value
        return False
    if read.trail is None:
        read.trail = Trail()
    return read.trail.add(kind, value)


def _read_framing(read: RequestReading, kind: int, value: bytes) -> Outcome | None:
    read.framings += 1
    if read.framings > 1:  # several lengths or codings, or both kinds: RFC 9112 §6.1, §6.3
        return bad_request("Content-Length and Transfer-Encoding allow one field in all.")
    if kind == CONTENT_LENGTH:
        if not is_number(value):
            return bad_request("Content-Length is not a number.")
        read.length = int(value)
        return None
    if value.lower() == b"chunked":
        read.is_chunked = True
        return None
    codings = [c.strip(b" \t").lower() for c in value.split(b",", MAX_ELEMENTS)]
    if codings[-1] == b"chunked" and all(codings) and codings.count(b"chunked") == 1:
        return outcomes.CODING_UNKNOWN
    return bad_request("Transfer-Encoding does not end in chunked.")


def _take_target(head: RequestHead, read: RequestReading) -> Outcome | None:
    target = read.target
    if len(read.hosts) != 1:  # RFC 9112 §3.2 requires exactly one; it also decides the route
        return bad_request("A request has exactly one Host field.")
    host = read.hosts[0]
    if target[:1] != b"/" and target != b"*":
        # RFC 9112 §3.2.2: a proxy ignores Host and uses the target's authority. User information in
        # it is an attempt to deceive (RFC 9110 §4.2.4).
        match = _ABSOLUTE.fullmatch(target)
        if match is None or fold(host) is None:
            return bad_request("The request target is neither a path nor an http URL.")
        host, path = match.groups(b"")
        target = path if path[:1] == b"/" else b"/" + path
        if head.method == b"OPTIONS" and not path:
            target = b"*"  # RFC 9112 §3.2.4
    elif target == b"*" and head.method != b"OPTIONS":
        return bad_request("Only OPTIONS has the target *.")
    if b"#" in target:
        return bad_request("A request target has no fragment.")
    key = fold(host)
    if key is None:
        return bad_request("Host is not a host name.")
    head.target = target
    head.host_key = key
    read.hosts[0] = host
    return None


def _take_framing(head: RequestHead, read: RequestReading) -> Outcome | None:
    if read.is_chunked and not head.is_http11:
        # RFC 9112 §6.1: HTTP/1.0 has no chunks, so this framing is faulty.
        return bad_request("HTTP/1.0 has no Transfer-Encoding.")
    head.is_chunked = read.is_chunked
    head.length = read.length or 0
    head.has_body = read.is_chunked or head.length > 0
    return None


def _take_expectations(head: RequestHead, read: RequestReading) -> Outcome | None:
    head.expects_continue = False
    if read.expect and head.is_http11:  # RFC 9110 §10.1.1: ignored in HTTP/1.0
        if read.expect.strip(b" \t").lower() != b"100-continue":
            return outcomes.EXPECTATION_FAILED
        head.expects_continue = head.has_body
    if read.max_forwards is not None and head.method in (b"OPTIONS", b"TRACE"):
        # RFC 9110 §7.6.2: at zero the request goes no further, otherwise the number falls by one.
        if not is_number(read.max_forwards):
            return bad_request("Max-Forwards is not a number.")
        hops = int(read.max_forwards)
        if hops == 0:
            is_trace = head.method == b"TRACE"
            return outcomes.TRACE_REFUSED if is_trace else outcomes.MAX_FORWARDS_REACHED
        read.max_forwards = b"%d" % (hops - 1)
    return None


def _take_connection(head: RequestHead, read: RequestReading) -> Outcome | None:
    head.upgrade = b""
    options = connection_options(read.connection)
    if options is None:
        return bad_request("Connection has too many options.")
    head.keeps_alive = not options.closes if head.is_http11 else options.keeps_alive
    if read.upgrade and options.upgrades and head.is_http11 and not head.has_body:
        protocols = elements(read.upgrade)
        if protocols is None:
            return bad_request("Upgrade has too many protocols.")
        if b"h2c" not in protocols:  # RFC 9113 §3.1: h2c by upgrade is obsolete; ignored
            head.upgrade = read.upgrade
    if options.removes:
        read.lines = without(options.removes, read.lines)
    return None


def _wire(head: RequestHead, read: RequestReading, ingress: Ingress) -> bytes:
    host = read.hosts[0]
    parts = [head.method, b" ", head.target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
    parts += read.lines
    if ingress.is_trusted and read.forwarded:
        parts.append(_forwarded_of_proxy(read.forwarded, host, ingress))
    else:
        parts += (ingress.forwarded, b"X-Forwarded-Host: ", host, b"\r\n")
    mark = ingress.via if read.trail is None else read.trail.after(ingress.via)
    parts += (b"X-Request-Id: ", head.request_id, b"\r\n", mark)
    if head.is_chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    elif read.length is not None:
        parts.append(b"Content-Length: %d\r\n" % read.length)
    if head.expects_continue:
        parts.append(b"Expect: 100-continue\r\n")
    if read.max_forwards is not None:
        parts.append(b"Max-Forwards: %b\r\n" % read.max_forwards)
    if head.upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
    parts.append(b"\r\n")
    return b"".join(parts)


def _forwarded_of_proxy(
    forwarded: Iterable[tuple[bytes, bytes]], host: bytes, ingress: Ingress
) -> bytes:
    """A trusted proxy's forwarded fields, with its own address appended to X-Forwarded-For."""
    chain: list[bytes] = []
    lines: list[bytes] = []
    seen: set[bytes] = set()
    for name, value in forwarded:
        lowered = name.lower()
        if lowered == b"x-forwarded-for":
            chain.append(value.strip(b" \t"))
        elif lowered not in seen or lowered == b"forwarded":
            lines.append(b"%b: %b\r\n" % (name, value))
        seen.add(lowered)
    ours = ingress.forwarded.split(b"\r\n")
    lines.append(b"X-Forwarded-For: %b\r\n" % b", ".join([*chain, ingress.peer]))
    lines += [line + b"\r\n" for line in ours if line and not _is_named(line, seen)]
    if b"x-forwarded-host" not in seen:
        lines.append(b"X-Forwarded-Host: %b\r\n" % host)
    return b"".join(lines)


def _is_named(line: bytes, names: Iterable[bytes]) -> bool:
    name = line.partition(b":")[0].lower()
    return name == b"x-forwarded-for" or name in names


_ACCEPT: Final = re.compile(rb"\r\naccept:[ \t]*([^\r\n,;]*)", re.IGNORECASE)
_USER_AGENT: Final = re.compile(rb"\r\nuser-agent:[ \t]*([^\r\n]*)", re.IGNORECASE)


def prefers_json(block: bytes) -> bool:
    """Whether an answer of the edge should be JSON: Accept names JSON, and not HTML before it.

    `block` holds the fields as received. They are searched only now because few requests need it.
    """
    match = _ACCEPT.search(block)
    first = match[1].strip().lower() if match is not None else b""
    return first == b"application/json" or first.endswith(b"+json")


def user_agent(block: bytes) -> str:
    """The User-Agent among fields as received; empty if there is none."""
    match = _USER_AGENT.search(block)
    return match[1].rstrip(b" \t").decode("latin-1") if match is not None else ""
