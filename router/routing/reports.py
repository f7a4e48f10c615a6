"""What a worker reports of what it counted, as JSON: counters only rise, so losing one is harmless.

A supervisor that was upgraded hears workers of the code before: what they did not count yet is
NotRequired.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

HistogramReport = tuple[list[int], float]  # the count of each bucket, and the sum


class RevisionReport(TypedDict):
    """The counters of one revision."""

    codes: dict[str, int]  # by status
    retries: dict[str, int]  # by reason
    duration: HistogramReport
    upstream_duration: HistogramReport
    ejections: int
    request_bytes: int
    response_bytes: int
    in_flight: int
    tunnels: int


class WorkerReport(TypedDict):
    """All that a worker counted since it started."""

    revisions: list[tuple[str, str, RevisionReport]]  # app, revision
    errors: list[tuple[str, str, int]]  # app, reason
    overhead: HistogramReport
    accept_errors: NotRequired[dict[str, int]]
    log_dropped: int
