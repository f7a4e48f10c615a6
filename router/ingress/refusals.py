"""Which refusal a head earns that llhttp rejects.

Pure, and off the hot path: it only runs for what will not be served.
"""

from __future__ import annotations

import re
from typing import Final

from router.contract import outcomes
from router.contract.outcomes import Outcome, bad_request
from router.http.fields import TOKEN

REQUEST_LINE: Final = re.compile(rb"(" + TOKEN + rb") (\S+) HTTP/([0-9])\.([0-9])")


def diagnose(wire: bytes) -> Outcome:
    """The refusal for a complete head that llhttp rejects."""
    line = wire[: wire.find(b"\r\n")]
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        return bad_request("The request line is malformed.")
    if match[3] != b"1":
        return outcomes.VERSION_UNKNOWN
    return bad_request("The request's head is malformed.")


def read_unusual(wire: bytes) -> tuple[bytes, bytes] | None:
    """A head in words that llhttp knows, with the method it really has; None if it has no others.

    llhttp has a list of methods and of versions. Methods are open (RFC 9110 §9.1), and HTTP/1.2 to
    1.9 are to be read as 1.1 (RFC 9110 §2.5). What changes is only what llhttp is shown.
    """
    line, crlf, rest = wire.partition(b"\r\n")
    match = REQUEST_LINE.fullmatch(line)
    if match is None or match[3] != b"1":
        return None
    method, target, _, minor = match.groups()
    if method == b"PRI" or (minor < b"2" and _llhttp_knows(method)):
        return None
    shown = method if _llhttp_knows(method) else b"GET"
    version = b"1" if minor > b"1" else minor
    return method, b"%b %b HTTP/1.%b" % (shown, target, version) + crlf + rest


def _llhttp_knows(method: bytes) -> bool:
    from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

    try:
        HttpRequestParser(object()).feed_data(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    except HttpParserUpgrade:
        return True
    except HttpParserError:
        return False
    return True
