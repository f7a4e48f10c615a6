"""One JSON line per request, written beside the loop.

Lines are made on the loop and written by a thread (`log_file.py`), so a disk that stalls holds no
request up: what would pile up behind it is dropped and counted. Field names are fixed in
README.md. Only these fields are logged, so no Authorization or Cookie can ever be.
"""

from __future__ import annotations

import time
from typing import Final

import orjson

from router.contract.outcomes import Outcome
from router.forwarding.log_file import LogWriter
from router.http.request_head import user_agent
from router.tracing.ended import Ended

_BATCH_BYTES: Final = 65536
_LEAVE_S: Final = 2.0
_MILLISECONDS: Final = [f".{n:03d}Z" for n in range(1000)]


def _ms(seconds: float) -> float:
    """Milliseconds, to the microsecond."""
    return int(seconds * 1e6 + 0.5) / 1000


class AccessLog:
    """The access log of one worker."""

    def __init__(self, target: str, *, min_status: int, min_s: float) -> None:
        self.dropped = 0
        self._min_status = min_status
        self._min_s = min_s
        self._takes_all = not min_status and not min_s
        self._lines: list[bytes] = []
        self._bytes = 0
        self._second = 0
        self._prefix = ""
        self._writer = LogWriter(target)

    def add(self, ended: Ended) -> None:
        """Log a request that is over."""
        head, upstream_s = ended.head, ended.upstream_s
        self._write(
            {
                "time": self._now(),
                "client": ended.client,
                "method": head.method.decode("latin-1"),
                "host": head.host_key.decode("latin-1"),
                "path": head.target.decode("latin-1"),
                "status": ended.status,
                "error": ended.error,
                "app": ended.app,
                "revision": ended.revision,
                "replica": ended.replica,
                "reason": ended.reason,
                "duration_ms": _ms(ended.seconds),
                "upstream_ms": _ms(upstream_s) if upstream_s else 0,
                "request_bytes": ended.bytes_in,
                "response_bytes": ended.bytes_out,
                "request_id": head.request_id.decode("latin-1"),
                "user_agent": user_agent(head.block),
                "trace_id": ended.trace_id,
            }
        )

    def add_unreadable(self, client: str, outcome: Outcome) -> None:
        """Log what was no request."""
        if self.takes(outcome.status, 0.0):
            self._write(
                {
                    "time": self._now(),
                    "client": client,
                    "status": outcome.status,
                    "error": outcome.code,
                }
            )

    def takes(self, status: int, seconds: float) -> bool:
        """Whether a request with this outcome is one of those that are logged."""
        if self._takes_all:
            return True
        if self._min_status and status >= self._min_status:
            return True
        return bool(self._min_s) and seconds >= self._min_s

    def _now(self) -> str:
        """RFC 3339 in UTC, to the millisecond."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._prefix + _MILLISECONDS[int((now - second) * 1000)]

    def _write(self, record: dict[str, object]) -> None:
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what has gathered to the writer; called on every tick."""
        if self._lines:
            lines, self._lines, self._bytes = self._lines, [], 0
            if not self._writer.offer(lines):
                self.dropped += len(lines)
        self.dropped += self._writer.lost()

    def close(self) -> None:
        """Write what is left, but wait no longer than a moment."""
        self.flush()
        self._writer.close(_LEAVE_S)
