"""Limits retries to a share of recent requests, so that they cannot become an avalanche.

Pure. Figures decay by a tenth each second, which weighs roughly the last ten seconds.
"""

from __future__ import annotations

from typing import Final

_KEEP_PER_S: Final = 0.9
_MEMORY_S: Final = 10.0  # 1 / (1 - 0.9): the sum that a steady rate of one a second decays to


class RetryBudget:
    """The retry budget of one revision in one worker.

    `share` is a fraction of the requests; `least_per_s` is allowed however few requests there are.
    """

    __slots__ = ("_recent", "_seen", "_used")

    def __init__(self) -> None:
        self._recent = 0.0  # decaying sum of requests
        self._used = 0.0  # decaying sum of retries
        self._seen = 0

    def second_passed(self, requests: int) -> None:
        """Called once a second with the number of requests so far."""
        self._recent = self._recent * _KEEP_PER_S + requests - self._seen
        self._used *= _KEEP_PER_S
        self._seen = requests

    def take(self, requests: int, share: float, least_per_s: float) -> bool:
        """Take one retry from the budget; False when it is used up.

        `requests` counts all so far, including those in flight.
        """
        recent = self._recent + requests - self._seen
        if self._used + 1 > max(share * recent, least_per_s * _MEMORY_S):
            return False
        self._used += 1
        return True
