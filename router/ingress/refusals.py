"""Which refusal a head earns that llhttp rejects, or that is not even complete.

Pure, and off the hot path: it only runs for what will not be served.
"""

from __future__ import annotations

import re

from router import errors
from router.errors import Outcome, bad_request
from router.fields import TOKEN
from router.settings import RouterSettings

_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") (\S+) HTTP/([0-9])\.([0-9])")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n|\Z)")


def diagnose(wire: bytes) -> Outcome:
    """The refusal for a complete head that llhttp rejects."""
    line = wire[: wire.find(b"\r\n")]
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return bad_request("The request line is malformed.")
    if match[3] != b"1":
        return errors.VERSION_UNKNOWN
    return bad_request("The request's head is malformed.")


def read_unusual(wire: bytes) -> tuple[bytes, bytes] | None:
    """A head in words that llhttp knows, with the method it really has; None if it has no others.

    llhttp has a list of methods and of versions. Methods are open (RFC 9110 §9.1), and HTTP/1.2 to
    1.9 are to be read as 1.1 (§2.5). What changes is only what llhttp is shown.
    """
    line, crlf, rest = wire.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or match[3] != b"1":
        return None
    method, target, _, minor = match.groups()
    if method == b"PRI" or (minor < b"2" and _llhttp_knows(method)):
        return None
    shown = method if _llhttp_knows(method) else b"GET"
    version = b"1" if minor > b"1" else minor
    return method, b"%b %b HTTP/1.%b" % (shown, target, version) + crlf + rest


def judge_partial(data: bytes, settings: RouterSettings) -> Outcome | None:
    """The refusal for a head that is incomplete but can already be told to be bad."""
    line, crlf, _ = data.partition(b"\r\n")
    if len(line) > settings.max_target_bytes + 64:  # the longest method and the version
        return errors.URI_TOO_LONG
    if _BARE_LF.search(data) or _BARE_CR.search(data) or b"\0" in data:
        return bad_request("Lines end in CRLF; a bare CR, LF or NUL has no place in a head.")
    if crlf and _REQUEST_LINE.fullmatch(line) is None:
        return bad_request("The request line is malformed.")
    if len(data) > settings.max_head_bytes:
        return errors.HEAD_TOO_LARGE
    return None


def _llhttp_knows(method: bytes) -> bool:
    from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

    try:
        HttpRequestParser(object()).feed_data(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    except HttpParserUpgrade:
        return True
    except HttpParserError:
        return False
    return True


def without_empty_lines(data: bytes) -> bytes:
    """A head without the empty lines in front of it (RFC 9112 §2.2 asks to skip them)."""
    at = 0
    while data[at : at + 2] == b"\r\n":
        at += 2
    return data[at:]
