"""What routers count, as rates: added up over routers, and remembered for an hour."""

from __future__ import annotations

import pytest

from control.publish.rates import BOUNDS, Count, Rates
from router.routing.stats import BUCKETS


def buckets(**by_bound: int) -> list[int]:
    found = [0] * (len(BOUNDS) + 1)
    for bound, n in by_bound.items():
        found[BOUNDS.index(float(bound.removeprefix("under_").replace("_", ".")))] = n
    return found


def test_the_bounds_are_those_that_routers_count_by() -> None:
    assert BOUNDS == BUCKETS


def test_what_two_routers_saw_is_one_rate() -> None:
    rates = Rates(lambda: 0.0)
    rates.hear("one", 2.0, [("shop", "shop--v1", 60, 0, [60]), ("shop", "shop--v2", 20, 10, [20])])
    rates.hear("two", 1.0, [("shop", "shop--v1", 10, 0, [10])])
    by_revision, by_app = rates.now()
    assert by_revision["shop", "shop--v1"].per_s == pytest.approx(40.0)
    assert by_revision["shop", "shop--v2"].per_s == pytest.approx(10.0)
    assert by_revision["shop", "shop--v2"].errors == 0.5
    assert by_revision["shop", "shop--v2"].share == pytest.approx(0.2)
    assert by_app["shop"].per_s == pytest.approx(50.0)


def test_a_rate_is_that_of_the_last_seconds() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for second in range(20):
        now = float(second)
        rates.hear("one", 1.0, [("shop", "shop--v1", 100 if second < 10 else 10, 0, [])])
    assert rates.now()[1]["shop"].per_s == pytest.approx(10.0)


def test_a_router_that_went_silent_counts_no_more() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    rates.hear("one", 1.0, [("shop", "shop--v1", 100, 0, [])])
    now = 60.0
    assert rates.now() == ({}, {})


def test_answers_of_the_edge_itself_are_the_apps_and_no_revisions_share() -> None:
    rates = Rates(lambda: 0.0)
    rates.hear("one", 1.0, [("shop", "", 10, 10, []), ("shop", "shop--v1", 10, 0, [])])
    by_revision, by_app = rates.now()
    assert by_app["shop"].errors == 0.5
    assert by_revision["shop", "shop--v1"].share == 1.0


def test_quantiles_lie_within_their_bucket() -> None:
    count = Count()
    count.add(100, 0, buckets(under_0_05=98, under_1_0=2))
    median, rare = count.quantiles()
    assert median is not None
    assert rare is not None
    assert 0.025 < median < 0.05
    assert 0.25 < rare <= 1.0
    assert Count().quantile(0.5) is None


def test_an_hour_is_remembered_by_the_minute_and_no_longer() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for minute in range(100):
        now = minute * 60.0
        rates.hear("one", 5.0, [("shop", "shop--v1", minute, 1, [minute])])
    history = rates.history("shop", "shop--v1")
    assert len(history) == 60
    assert [history[-1][:3], history[0][:3]] == [[0, 99, 1], [59, 40, 1]]
    assert rates.history("shop", "shop--v2") == []


def test_a_router_that_names_revisions_without_end_fills_no_memory() -> None:
    rates = Rates(lambda: 0.0)
    many = [("shop", f"shop--v{n}", 1, 0, [1] * 1000) for n in range(5000)]
    rates.hear("one", 1.0, many)
    rates.hear("one", 1.0, [("x" * 1000, "y", 1, 0, [])])
    by_revision, _ = rates.now()
    assert len(by_revision) == 1000
    assert sum(1 for name in range(5000) if rates.history("shop", f"shop--v{name}")) == 500


def test_reports_that_cover_next_to_no_time_fill_no_memory_and_make_no_infinite_rate() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for n in range(500):
        now = n / 100
        rates.hear("one", 5e-324, [("shop", f"shop--v{n}-{k}", 1 << 52, 0, []) for k in range(50)])
    by_revision, by_app = rates.now()
    assert len(by_revision) <= 10_000
    assert all(figure is not None for figure in by_app["shop"].wire()[:2])


def test_an_hour_is_kept_when_more_revisions_are_busy_than_have_one() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for second in range(0, 600, 20):
        now = float(second)
        busy = [("shop", f"shop--v{n}", 1, 0, [1]) for n in range(600)]
        rates.hear("one", 20.0, busy if second % 40 else busy[::-1])
    hours = [rates.history("shop", f"shop--v{n}") for n in range(600)]
    assert sum(len(hour) == 10 for hour in hours) == 500


def test_a_revision_that_nobody_asks_any_more_makes_room() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    rates.hear("one", 1.0, [("old", f"old--v{n}", 1, 0, [1]) for n in range(500)])
    now = 600.0
    rates.hear("one", 1.0, [("new", "new--v1", 1, 0, [1])])
    assert len(rates.history("new", "new--v1")) == 1
