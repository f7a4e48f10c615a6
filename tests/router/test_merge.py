from __future__ import annotations

from typing import Any

import pytest

from router.merge import Shares, Totals
from router.stats import WorkerStats


def report(**codes: int) -> dict[str, Any]:
    stats = WorkerStats()
    for revision, n in codes.items():
        one = stats.of("shop", f"shop--{revision}")
        one.codes[200] += n
        one.in_flight = 1
        for _ in range(n):
            one.duration.observe(0.001)
    return stats.report()


def test_a_dead_workers_counts_stay_and_its_gauges_go() -> None:
    totals = Totals()
    totals.add(report(v1=3), is_alive=False)
    totals.add(report(v1=4), is_alive=True)

    total = totals.revisions["shop", "shop--v1"]
    assert total.codes == {"200": 7}
    assert sum(total.duration.counts) == 7
    assert total.duration.total == pytest.approx(0.007)
    assert total.in_flight == 1


def test_shares_are_of_the_last_minute() -> None:
    shares = Shares(window_s=60)
    for now, v1, v2 in [(0.0, 0, 0), (30.0, 500, 0), (50.0, 600, 0), (100.0, 630, 90)]:
        totals = Totals()
        totals.add(report(v1=v1, v2=v2), is_alive=True)
        shares.sample(now, totals)
    totals.add(report(v1=0, v2=0), is_alive=True)
    shares.sample(111.0, totals)  # the window now begins with the sample at 50 s

    assert shares.ratios() == {
        ("shop", "shop--v1"): pytest.approx(0.25, abs=0.01),
        ("shop", "shop--v2"): pytest.approx(0.75, abs=0.01),
    }
