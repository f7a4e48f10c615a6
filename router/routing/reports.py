"""What a worker reports of its counters, as JSON: they only rise, so a lost report does no harm.

After an upgrade, a supervisor also receives reports of older workers: keys that these lack are
NotRequired.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

HistogramReport = tuple[list[int], float]  # the count of each bucket, and the sum


class RevisionReport(TypedDict):
    codes: dict[str, int]  # requests by status
    retries: dict[str, int]  # retries by reason
    duration: HistogramReport
    upstream_duration: HistogramReport
    ejections: int
    request_bytes: int
    response_bytes: int
    in_flight: int
    tunnels: int


class WorkerReport(TypedDict):
    """All that a worker has counted since it started."""

    revisions: list[tuple[str, str, RevisionReport]]  # (app, revision, counters)
    errors: list[tuple[str, str, int]]  # (app, reason, count)
    overhead: HistogramReport
    accept_errors: NotRequired[dict[str, int]]
    log_dropped: int
