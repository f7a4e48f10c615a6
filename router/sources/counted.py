"""What requests came to since the control plane heard of them last, revision by revision. Pure.

Differences, not totals: a control plane that was restarted needs to remember nothing, and what
is idle takes no room in a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Key = tuple[str, str]  # app, revision; no revision for what the edge answered itself
Counts = tuple[int, int, list[int]]  # requests, errors, and requests by bucket of duration

_MOST = 1000  # revisions in one report, the busiest ones: some 60 KB


class Counted:
    """Totals as they were told last; a report that does not arrive is made up for by the next."""

    def __init__(self) -> None:
        self._told: Mapping[Key, Counts] | None = None  # nobody wants what was before we came
        self._told_at = 0.0
        self._sent: tuple[float, Mapping[Key, Counts]] = (0.0, {})

    def news(self, now: float, totals: Mapping[Key, Counts]) -> dict[str, Any]:
        """What there is to report at a moment: how many seconds it covers, and what was counted."""
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
        """The control plane has what was sent last."""
        self._told_at, self._told = self._sent


def _since(total: Counts, before: Counts | None) -> Counts:
    """The difference, its buckets without the empty ones at the end."""
    if before is None:
        return total[0], total[1], _trimmed(total[2])
    buckets = [max(0, now - was) for now, was in zip(total[2], before[2], strict=True)]
    return total[0] - before[0], max(0, total[1] - before[1]), _trimmed(buckets)


def _trimmed(buckets: list[int]) -> list[int]:
    used = len(buckets)
    while used and not buckets[used - 1]:
        used -= 1
    return buckets[:used]
