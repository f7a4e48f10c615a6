"""A head that arrives in pieces. Pure; every byte is looked at once, however the pieces are cut."""

from __future__ import annotations

import re
from typing import Final

from router.contract import outcomes
from router.contract.outcomes import Outcome, bad_request
from router.contract.settings import RouterSettings
from router.ingress.refusals import REQUEST_LINE

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_BARE_CR: Final = re.compile(rb"\r(?!\n|\Z)")
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
_REST_OF_LINE: Final = (
    64  # bytes of a request line beside its target: the longest method, the version
)


def behind_empty_lines(data: bytes | bytearray, at: int) -> int:
    """Where the request line begins: empty lines before it are skipped (RFC 9112 §2.2)."""
    match = _EMPTY_LINES.match(data, at)
    return match.end() if match is not None else at


class PartialHead:
    """What has arrived of one head."""

    __slots__ = ("_data", "_has_line", "_judged", "_searched", "whole")

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0  # bytes that hold no end of a head
        self._judged = 0  # bytes that hold nothing bad
        self._has_line = False
        self.whole = b""  # the head, once its end has arrived

    def take(self, data: bytes, at: int) -> int:
        """Take bytes from `at` on; returns the offset behind the head, or behind all of them."""
        held = self._data
        before = len(held)
        held += data[at:]
        if not self._has_line:
            empty = behind_empty_lines(held, 0)
            del held[:empty]
            before -= empty
        end = held.find(b"\r\n\r\n", max(0, self._searched - 3))
        self._searched = len(held)
        if end < 0:
            return len(data)
        self.whole = bytes(held[: end + 4])
        return at + end + 4 - before

    def judge(self, settings: RouterSettings) -> Outcome | None:
        """The refusal for a head that can already be told to be bad, though it is incomplete."""
        data, since = self._data, max(0, self._judged - 1)
        self._judged = len(data)
        if not self._has_line:
            end = data.find(b"\r\n", since)
            if (end if end >= 0 else len(data)) > settings.max_target_bytes + _REST_OF_LINE:
                return outcomes.URI_TOO_LONG
        else:
            end = -1
        has_nul = data.find(0, since) >= 0
        if has_nul or _BARE_LF.search(data, since) or _BARE_CR.search(data, since):
            return bad_request("Lines end in CRLF; a bare CR, LF or NUL has no place in a head.")
        if end >= 0:
            self._has_line = True
            if REQUEST_LINE.fullmatch(data, 0, end) is None:
                return bad_request("The request line is malformed.")
        if len(data) > settings.max_head_bytes:
            return outcomes.HEAD_TOO_LARGE
        return None


def judge_whole(wire: bytes, settings: RouterSettings) -> Outcome:
    """The refusal for a head that is complete and larger than allowed."""
    partial = PartialHead()
    partial.take(wire, 0)
    return partial.judge(settings) or outcomes.HEAD_TOO_LARGE
