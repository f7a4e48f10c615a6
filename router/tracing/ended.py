"""What is known of a request that is over: for the access log, and for its span. Pure."""

from __future__ import annotations

from router.http.request_head import RequestHead


class Ended:
    """One request and what became of it; texts are empty where there is nothing to say."""

    __slots__ = (
        "app",
        "bytes_in",
        "bytes_out",
        "client",
        "error",
        "head",
        "reason",
        "replica",
        "revision",
        "seconds",
        "status",
        "trace_id",
        "upstream_s",
    )

    def __init__(
        self,
        head: RequestHead,
        *,
        client: str,
        status: int,
        error: str,
        app: str,
        revision: str,
        replica: str,
        reason: str,
        seconds: float,
        upstream_s: float,
        bytes_in: int,
        bytes_out: int,
        trace_id: str,
    ) -> None:
        self.head = head
        self.client = client
        self.status = status
        self.error = error
        self.app = app
        self.revision = revision
        self.replica = replica
        self.reason = reason
        self.seconds = seconds
        self.upstream_s = upstream_s  # since it was sent to the replica; 0 if it never was
        self.bytes_in = bytes_in
        self.bytes_out = bytes_out
        self.trace_id = trace_id
