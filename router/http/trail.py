"""Where a request has been: what Via and X-Turnout-Hops say, and when it goes in circles.

Pure. A replica that forwards to its own host, or an endpoint that is the router itself, would
keep a request going until every connection is used up. Each pass leaves a mark: in Via (RFC 9110
§7.6.3), or, for routers that do not add to Via, in a count of our own. Anyone may send either;
a lie costs its teller the answer.
"""

from __future__ import annotations

import re
from typing import Final

from router.http.fields import VIA

VIA_LINE: Final = b"Via: 1.1 turnout\r\n"
_AND_OURS: Final = b", 1.1 turnout\r\n"
HOPS_LINE: Final = b"X-Turnout-Hops: 1\r\n"  # in its place when `via` is off

# Routers in a row are usual (one at the edge, one beside the app), and so are apps that call each
# other through them and pass on the fields they were sent. Four calls deep, that is eight.
MOST_PASSES: Final = 8

_OUR_MARK: Final = re.compile(rb"[ \t]turnout(?=[ \t,(]|\Z)")
_COUNT: Final = re.compile(rb"[0-9]{1,3}")


class Trail:
    """The marks of one request; a request without any has no Trail."""

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
        elif _COUNT.fullmatch(value):  # else it is dropped, as all X-Turnout-* of strangers
            self._hops += int(value)
            self._passes += int(value)
        return self._passes >= MOST_PASSES

    def after(self, mark: bytes) -> bytes:
        """The fields to send on: what came, and `mark`, the line for a request without a trail.

        One field of each name, because programs that keep the last of several would lose count.
        """
        via, hops = self._via, self._hops
        if mark == VIA_LINE:
            line = b"Via: " + via + _AND_OURS if via else VIA_LINE
            return b"%bX-Turnout-Hops: %d\r\n" % (line, hops) if hops else line
        line = b"Via: %b\r\n" % via if via else b""
        return b"%bX-Turnout-Hops: %d\r\n" % (line, hops + 1)
