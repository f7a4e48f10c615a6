"""Outcomes: every answer that the edge makes itself, each with one status and one code.

The code is the same word in the `X-Turnout-Error` header, the body, the log and the metric.
Exceptions are used for programming mistakes and at start-up only.
"""

from __future__ import annotations

from typing import Final

import orjson


class Outcome:
    """An answer made by the edge; each of `extra` is a header line that ends in CRLF."""

    __slots__ = ("code", "extra", "message", "status", "status_line")

    def __init__(self, status: int, code: str, message: str, extra: bytes = b"") -> None:
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra
        self.status_line = b"HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, b"Error"))

    def __repr__(self) -> str:
        return f"<Outcome {self.status} {self.code}>"

    def reply(
        self, request_id: bytes, *, date: bytes, as_json: bool, is_head: bool, closes: bool
    ) -> bytes:
        """The whole answer as bytes."""
        content = self._body(request_id, as_json=as_json)
        lines = [
            self.status_line,
            date,
            b"Content-Type: ",
            b"application/json" if as_json else b"text/plain; charset=utf-8",
            b"\r\nContent-Length: %d\r\nX-Request-Id: %b\r\n" % (len(content), request_id),
            b"X-Turnout-Error: %b\r\n" % self.code.encode() if self.status >= 400 else b"",
            self.extra,
            b"Connection: close\r\n\r\n" if closes else b"\r\n",
            b"" if is_head else content,
        ]
        return b"".join(lines)

    def _body(self, request_id: bytes, *, as_json: bool) -> bytes:
        """The body: JSON if the client's Accept prefers it, otherwise one line of text."""
        if self.status < 400:
            return f"{self.message}\n".encode()
        if as_json:
            error = {
                "code": self.code,
                "message": self.message,
                "requestId": request_id.decode("ascii", "replace"),
            }
            return orjson.dumps({"error": error}) + b"\n"
        return f"{self.code}: {self.message}\n".encode()


REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
    508: b"Loop Detected",
}

# nginx's number for a client that closed its connection; counted, never sent
CLIENT_CLOSED: Final = 499


def bad_request(why: str) -> Outcome:
    """400 with the rule that the request broke; its connection is closed afterwards."""
    return Outcome(400, "BadRequest", why)


_RETRY: Final = b"Retry-After: 1\r\n"

HOST_NOT_FOUND: Final = Outcome(404, "HostNotFound", "No app answers to this host name.")
LABEL_NOT_FOUND: Final = Outcome(404, "LabelNotFound", "No revision of this app holds that label.")
REVISION_INACTIVE: Final = Outcome(404, "RevisionInactive", "That revision is not active.")
APP_STOPPED: Final = Outcome(
    503,
    "AppStopped",
    "This app is stopped: it has no active revision.",
    b"Retry-After: 60\r\n",  # nothing becomes ready until somebody starts the app
)
NO_READY_REPLICA: Final = Outcome(
    503, "NoReadyReplica", "No replica is ready to answer; try again in a moment.", _RETRY
)
NO_TABLE: Final = Outcome(
    503, "NoTable", "This router has not been given a routing table yet.", _RETRY
)
REPLICA_OVERLOADED: Final = Outcome(
    503, "ReplicaOverloaded", "Every replica has as many requests as it may have.", _RETRY
)
ROUTER_OVERLOADED: Final = Outcome(
    503, "RouterOverloaded", "This router has more to do than it can; try again.", _RETRY
)
TOO_MANY_CONNECTIONS: Final = Outcome(
    503, "TooManyConnections", "This router has as many connections as it may have.", _RETRY
)
TOO_MANY_OF_CLIENT: Final = Outcome(
    429, "TooManyClientConnections", "Your address has as many connections as it may have.", _RETRY
)
OUT_OF_SOCKETS: Final = Outcome(
    503, "RouterOutOfSockets", "This router has no descriptor or port left; try again.", _RETRY
)
CONTENT_TOO_LARGE: Final = Outcome(
    413, "ContentTooLarge", "The request's body is larger than allowed."
)
CONNECT_FAILED: Final = Outcome(
    502, "UpstreamConnectFailed", "The replica refused the connection.", _RETRY
)
CONNECT_TIMEOUT: Final = Outcome(
    504, "UpstreamConnectTimeout", "The replica did not accept in time."
)
UPSTREAM_RESET: Final = Outcome(
    502, "UpstreamReset", "The replica closed the connection before it answered."
)
UPSTREAM_PROTOCOL: Final = Outcome(
    502, "UpstreamProtocolError", "The replica's answer is not valid HTTP/1.1."
)
UPSTREAM_TIMEOUT: Final = Outcome(504, "UpstreamTimeout", "The replica did not answer in time.")
REQUEST_TIMEOUT: Final = Outcome(408, "RequestTimeout", "The request did not arrive in time.")
URI_TOO_LONG: Final = Outcome(414, "UriTooLong", "The request target is too long.")
HEAD_TOO_LARGE: Final = Outcome(431, "HeadTooLarge", "The request's header fields are too large.")
TOO_MANY_FIELDS: Final = Outcome(431, "TooManyFields", "The request has too many header fields.")
EXPECTATION_FAILED: Final = Outcome(
    417, "ExpectationFailed", "Only 100-continue can be expected here."
)
CONNECT_REFUSED: Final = Outcome(
    405, "MethodNotAllowed", "CONNECT is not served here.", b"Allow: GET, HEAD, POST, PUT\r\n"
)
TRACE_REFUSED: Final = Outcome(
    405, "MethodNotAllowed", "TRACE ends here.", b"Allow: GET, HEAD, POST, PUT\r\n"
)
MAX_FORWARDS_REACHED: Final = Outcome(
    200, "MaxForwardsReached", "The request may not be forwarded further.", b"Allow: *\r\n"
)
VERSION_UNKNOWN: Final = Outcome(505, "HttpVersionNotSupported", "Only HTTP/1.0 and HTTP/1.1 here.")
CODING_UNKNOWN: Final = Outcome(
    501, "TransferCodingUnknown", "Only the chunked coding is known here."
)
LOOP_DETECTED: Final = Outcome(
    508,
    "LoopDetected",
    "The request came back here again and again: a replica, or what it calls, sends it to this"
    " router under the same host.",
)
