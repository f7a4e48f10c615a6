"""What a router reports of each revision's requests since its last report. Pure.

Reports hold differences, not totals: a restarted control plane needs to remember nothing, and idle
revisions take no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Key = tuple[str, str]  # (app, revision); the revision is empty for answers of the edge itself
Counts = tuple[int, int, list[int]]  # requests, errors, and requests by bucket of duration

_MOST = 1000  # revisions in one report, the busiest ones first: some 60 KB


class Counted:
    """The totals that the last report covered; a report that is lost is made up for by the next."""

    def __init__(self) -> None:
        # None until the first report: older counts are not wanted
        self._told: Mapping[Key, Counts] | None = None
        self._told_at = 0.0
        self._sent: tuple[float, Mapping[Key, Counts]] = (0.0, {})

    def news(self, now: float, totals: Mapping[Key, Counts]) -> dict[str, Any]:
        """The report for this moment: the seconds it covers and what was counted in them."""
        self._sent = (now, totals)
        if self._told is None:
            return {"seconds": 0.0, "revisions": []}
        made = [
            (requests, app, revision, errors, buckets)
            for (app, revision), total in totals.items()
            for requests, errors, buckets in [_since(total, self._told.get((app, revision)))]
            if requests > 0
        ]
        if len(made) > _MOST:
            made = sorted(made, key=lambda one: -one[0])[:_MOST]
        return {
            "seconds": round(now - self._told_at, 3),
            "revisions": [
                [app, revision, requests, errors, buckets]
                for requests, app, revision, errors, buckets in made
            ],
        }

    def arrived(self) -> None:
        """Called when the control plane has received the last report."""
        self._told_at, self._told = self._sent


def _since(total: Counts, before: Counts | None) -> Counts:
    """The difference of two counts; empty buckets at the end are left out."""
    if before is None:
        return total[0], total[1], _trimmed(total[2])
    buckets = [max(0, now - was) for now, was in zip(total[2], before[2], strict=True)]
    return total[0] - before[0], max(0, total[1] - before[1]), _trimmed(buckets)


def _trimmed(buckets: list[int]) -> list[int]:
    used = len(buckets)
    while used and not buckets[used - 1]:
        used -= 1
    return buckets[:used]
