"""Reads the heads of one client's requests: llhttp's grammar, then our one reading of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from router import errors
from router.errors import Outcome, bad_request
from router.ingress.refusals import diagnose, judge_partial, read_unusual
from router.ingress.repeated import Repeated, is_repeatable
from router.ingress.transport import ClientTransport
from router.request_head import Fields, Ingress, RequestHead, read_request

if TYPE_CHECKING:
    from router.edge import Edge

_REST_OF_LINE = len("  HTTP/1.1")
_LONGEST_REPEATED = 2048  # bytes that an idle connection may keep twice


class HeadReader(ClientTransport):
    """What a connection knows of the heads it has read."""

    __slots__ = (
        # per connection
        "_ingress",
        "_parser",
        "_last_block",
        "_repeated",
        # per head
        "_target",
        "_fields",
    )

    def __init__(self, edge: Edge) -> None:
        super().__init__(edge)
        self._ingress: Ingress = cast(Ingress, None)
        self._parser = HttpRequestParser(self)
        self._last_block = b""  # the fields of the request before, as received
        self._repeated: Repeated | None = None
        self._target = b""
        self._fields: Fields = []

    def on_url(self, url: bytes) -> None:
        """Called by llhttp, once: it is only ever fed a whole head."""
        self._target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each field."""
        self._fields.append((name, value))

    def _read(self, wire: bytes) -> RequestHead | Outcome:
        """A whole head, understood, or the refusal it earns."""
        line_end = wire.find(b"\r\n")
        block = wire[line_end:]
        known = self._repeated
        if known is not None and known.block == block:
            head = known.read(wire[:line_end], self.edge.new_id())
            if head is not None:
                return head
        return self._read_anew(wire, line_end, block)

    def _read_anew(self, wire: bytes, line_end: int, block: bytes) -> RequestHead | Outcome:
        settings = self.edge.settings
        if len(wire) > settings.max_head_bytes:
            return judge_partial(wire, settings) or errors.HEAD_TOO_LARGE
        self._fields = []
        method = self._parse(wire)
        if isinstance(method, Outcome):
            return method
        target = self._target
        # llhttp skips a bare LF before the line and extra spaces in it; RFC 9112 §3 has neither.
        if line_end != len(method) + len(target) + _REST_OF_LINE:
            return bad_request("The request line is malformed.")
        new_id = self.edge.new_id()
        version = self._parser.get_http_version()
        head = read_request(method, target, version, self._fields, self._ingress, new_id)
        if isinstance(head, Outcome):
            return head
        if len(block) <= _LONGEST_REPEATED:
            if block == self._last_block and is_repeatable(head, target, new_id):
                self._repeated = Repeated(block, head, self._ingress.max_target_bytes)
            self._last_block = block
        return head

    def _parse(self, wire: bytes) -> bytes | Outcome:
        """Show a head to llhttp; returns the request's method."""
        try:
            self._parser.feed_data(wire)
        except HttpParserUpgrade:
            pass  # raised behind a complete head
        except HttpParserError:
            unusual = read_unusual(wire)
            self._parser = HttpRequestParser(self)
            self._fields = []
            if unusual is None or isinstance(self._parse(unusual[1]), Outcome):
                return diagnose(wire)
            return unusual[0]
        return self._parser.get_method()
