from __future__ import annotations

from typing import Any

import pytest

from router.routing.stats import WorkerStats
from router.supervisor.totals import Failures, Shares, Totals


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


def test_failures_are_of_the_last_seconds_and_of_whom_they_are() -> None:
    failures = Failures(window_s=10)
    stats = WorkerStats()
    good, bad = (stats.of("shop", f"shop--{revision}").codes for revision in ("v1", "v2"))

    def recent(now: float) -> dict[str, tuple[int, int]]:
        totals = Totals()
        totals.add(stats.report(), is_alive=True)
        failures.sample(now, totals)
        return failures.recent()

    good[200], bad[500] = 100, 7
    assert recent(0.0) == {}
    good[404] += 10  # the client's own
    bad[200] += 20
    bad[503] += 20
    assert recent(5.0) == {"shop--v2": (40, 20)}
    bad[200] += 10
    assert recent(10.0) == {"shop--v2": (50, 20)}
    assert recent(15.0) == {}


def test_what_dead_workers_counted_of_gone_revisions_goes_after_a_while() -> None:
    totals, stats = Totals(), WorkerStats()
    for app, revision in (("shop", "shop--v1"), ("shop", "shop--v2"), ("blog", "blog--v1")):
        stats.of(app, revision).codes[200] += 1
    for app in ("shop", "blog", "_unknown"):
        stats.errors[app, "HostNotFound"] += 1
    totals.add(stats.report(), is_alive=False)
    table = {"shop": {"", "shop--v2"}, "_unknown": {""}}

    def forget(now: float) -> None:
        totals.forget(lambda app, name: name in table.get(app, ()), now, lifetime_s=60)

    forget(0.0)
    forget(60.0)
    assert len(totals.revisions) == 3  # a counter that falls at once looks like a restart
    forget(61.0)
    assert set(totals.revisions) == {("shop", "shop--v2")}
    assert set(totals.errors) == {("shop", "HostNotFound"), ("_unknown", "HostNotFound")}


def test_a_revision_that_comes_back_in_time_keeps_its_counts() -> None:
    totals = Totals()
    totals.add(report(v1=3), is_alive=False)
    for now, is_there in ((0.0, False), (50.0, True), (70.0, False), (120.0, False)):
        totals.forget(lambda *_: is_there, now, lifetime_s=60)  # noqa: B023 - called at once
    assert totals.revisions["shop", "shop--v1"].codes == {"200": 3}


def test_a_worker_forgets_the_errors_of_apps_that_are_gone() -> None:
    stats = WorkerStats()
    for app in ("shop", "blog", "_unknown"):
        stats.of(app, "").codes[503] += 1
        stats.errors[app, "AppStopped"] += 1
    for now in (0.0, 60.0, 61.0):
        stats.second_passed(now, 60.0, {"shop"})
        assert ("blog", "AppStopped") in stats.errors or now == 61.0

    assert {app for app, _ in stats.errors} == {"shop", "_unknown"}
    assert {app for app, _ in stats.revisions} == {"shop", "_unknown"}
