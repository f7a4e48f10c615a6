"""Reads the heads of one client's requests: llhttp's grammar, then our one reading of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from router.contract.outcomes import Outcome, bad_request
from router.contract.peers import is_in, networks, plain_address
from router.contract.settings import RouterSettings
from router.http.request_head import Ingress, RequestHead, RequestReading
from router.http.trail import HOPS_LINE, VIA_LINE
from router.ingress.partial import PartialHead, behind_empty_lines, judge_whole
from router.ingress.refusals import diagnose, read_unusual
from router.ingress.repeated import Repeated, is_repeatable

if TYPE_CHECKING:
    import asyncio

_CR: Final = 13
_REST_OF_LINE: Final = len("  HTTP/1.1")
_LONGEST_REPEATED: Final = 2048  # bytes that an idle connection may keep twice


def ingress_of(transport: asyncio.BaseTransport, settings: RouterSettings) -> Ingress:
    """What all requests on a client's connection have in common."""
    peer = transport.get_extra_info("peername")
    sock = transport.get_extra_info("sockname")
    address = plain_address(peer[0]) if isinstance(peer, tuple) else "unknown"
    port = sock[1] if isinstance(sock, tuple) else 80
    lines = f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {port}\r\n"
    return Ingress(
        forwarded=lines.encode(),
        peer=address.encode(),
        is_trusted=is_in(address, networks(settings.trusted_proxies)),
        via=VIA_LINE if settings.via else HOPS_LINE,
        max_target_bytes=settings.max_target_bytes,
        max_fields=settings.max_fields,
    )


class HeadReader:
    """Remembers the fields of the last head, as most clients send the same ones again."""

    __slots__ = ("_last_block", "_partial", "_repeated", "_settings", "ingress", "whole")

    def __init__(self, ingress: Ingress, settings: RouterSettings) -> None:
        self.ingress = ingress
        self._settings = settings
        self._last_block = b""  # the fields of the request before, as received
        self._repeated: Repeated | None = None
        self._partial: PartialHead | None = None
        self.whole = b""  # the bytes of a head that is to be read next

    @property
    def is_partial(self) -> bool:
        """Whether a part of a head has arrived."""
        return self._partial is not None

    def take(self, data: bytes, at: int) -> int:
        """Take a head from `at` on; returns the offset behind it, or behind all there is of it."""
        partial = self._partial
        if partial is None:
            if data[at] == _CR:
                at = behind_empty_lines(data, at)
            end = data.find(b"\r\n\r\n", at) + 4
            if end >= 4:
                self.whole = data if not at and end == len(data) else data[at:end]
                return end
            if at == len(data):
                return at
            partial = self._partial = PartialHead()
        end = partial.take(data, at)
        self.whole = partial.whole
        if self.whole:
            self._partial = None
        return end

    def judge(self) -> Outcome | None:
        """The refusal for a head that can already be told to be bad, though it is incomplete."""
        return self._partial.judge(self._settings) if self._partial is not None else None

    def read(self, wire: bytes, new_id: bytes) -> RequestHead | Outcome:
        """A whole head, understood, or the refusal it earns; `new_id` is for a head without one."""
        line_end = wire.find(b"\r\n")
        block = wire[line_end:]
        known = self._repeated
        if known is not None and known.block == block:
            head = known.read(wire[:line_end], new_id)
            if head is not None:
                return head
        return self._read_anew(wire, line_end, block, new_id)

    def _read_anew(
        self, wire: bytes, line_end: int, block: bytes, new_id: bytes
    ) -> RequestHead | Outcome:
        if len(wire) > self._settings.max_head_bytes:
            return judge_whole(wire, self._settings)
        reading = RequestReading()
        shown, shown_end = wire, line_end
        method = _parse(wire, reading)
        if method is None:
            unusual = read_unusual(wire)
            if unusual is None:
                return diagnose(wire)
            method, shown = unusual
            shown_end = shown.find(b"\r\n")
            reading = RequestReading()
            if _parse(shown, reading) is None:
                return diagnose(shown)
        target = reading.target
        # llhttp skips a bare LF before the line and extra spaces in it; RFC 9112 §3 has neither.
        if line_end != len(method) + len(target) + _REST_OF_LINE:
            return bad_request("The request line is malformed.")
        version = shown[shown_end - 3 : shown_end]
        head = reading.read(method, version, self.ingress, new_id)
        if isinstance(head, Outcome):
            return head
        head.block = block
        if len(block) <= _LONGEST_REPEATED:
            if block == self._last_block and is_repeatable(head, target, new_id):
                self._repeated = Repeated(block, head, self.ingress.max_target_bytes)
            self._last_block = block
        return head


def _parse(wire: bytes, reading: RequestReading) -> bytes | None:
    """Show a head to llhttp; returns the request's method, or None when it rejects the head.

    The parser is new each time: after some heads it waits for a body that it will not be shown,
    and kept by its connection the two would be a cycle that only the collector can free.
    """
    parser = HttpRequestParser(reading)
    try:
        parser.feed_data(wire)
    except HttpParserUpgrade:
        pass  # raised behind a complete head
    except HttpParserError:
        return None
    return parser.get_method()
