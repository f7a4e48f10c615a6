"""Detects requests that go in circles, by the marks in Via and X-Turnout-Hops.

Pure. A replica that forwards to its own host, or an endpoint that is the router itself, would keep
a request going until every connection is used up. Each pass leaves a mark: in Via (RFC 9110
§7.6.3), or, in routers that do not add to Via, in a count of our own. A client may forge either,
but only has its own request refused for it.
"""

from __future__ import annotations

import re
from typing import Final

from router.http.fields import VIA

VIA_LINE: Final = b"Via: 1.1 turnout\r\n"
_AND_OURS: Final = b", 1.1 turnout\r\n"
HOPS_LINE: Final = b"X-Turnout-Hops: 1\r\n"  # sent instead when `via` is off

# Several routers in a row are usual (at the edge, beside the app), and so are apps that call each
# other through them and pass on the fields they received. Four calls deep, that is eight.
MOST_PASSES: Final = 8

_OUR_MARK: Final = re.compile(rb"[ \t]turnout(?=[ \t,(]|\Z)")
_COUNT: Final = re.compile(rb"[0-9]{1,3}")


class Trail:
    """The marks of one request; a request without marks has no Trail."""

    __slots__ = ("_hops", "_passes", "_via")

    def __init__(self) -> None:
        self._via = b""
        self._hops = 0
        self._passes = 0

    def add(self, kind: int, value: bytes) -> bool:
        """Take in a Via or X-Turnout-Hops field; returns whether the request goes in circles."""
        if kind == VIA:
            self._via = b"%b, %b" % (self._via, value) if self._via else value
            if b"turnout" in value:
                self._passes += len(_OUR_MARK.findall(value))
        # anything else is dropped, as every X-Turnout-* field of a client
        elif _COUNT.fullmatch(value):
            self._hops += int(value)
            self._passes += int(value)
        return self._passes >= MOST_PASSES

    def after(self, mark: bytes) -> bytes:
        """The fields to send on: the marks received, plus `mark`, the line of a request without
        any.

        Each name is sent once, because programs that keep the last of several fields would lose
        count.
        """
        via, hops = self._via, self._hops
        if mark == VIA_LINE:
            line = b"Via: " + via + _AND_OURS if via else VIA_LINE
            return b"%bX-Turnout-Hops: %d\r\n" % (line, hops) if hops else line
        line = b"Via: %b\r\n" % via if via else b""
        return b"%bX-Turnout-Hops: %d\r\n" % (line, hops + 1)
