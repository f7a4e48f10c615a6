"""What a router tells of its counters: differences, and nothing twice."""

from __future__ import annotations

from router.sources.counted import Counted, Counts, Key


def totals(**of: Counts) -> dict[Key, Counts]:
    return {("shop", f"shop--{name}"): counts for name, counts in of.items()}


def test_the_first_report_says_nothing_of_what_was_before() -> None:
    counted = Counted()
    assert counted.news(10.0, totals(v1=(1000, 5, [1000, 0]))) == {"seconds": 0.0, "revisions": []}
    counted.arrived()
    news = counted.news(12.0, totals(v1=(1010, 6, [1008, 2])))
    assert news == {"seconds": 2.0, "revisions": [["shop", "shop--v1", 10, 1, [8, 2]]]}


def test_a_report_that_did_not_arrive_is_in_the_next_one() -> None:
    counted = Counted()
    counted.news(0.0, {})
    counted.arrived()
    counted.news(1.0, totals(v1=(5, 0, [5])))  # lost
    news = counted.news(2.0, totals(v1=(9, 1, [9])))
    assert news == {"seconds": 2.0, "revisions": [["shop", "shop--v1", 9, 1, [9]]]}
    counted.arrived()
    assert counted.news(3.0, totals(v1=(9, 1, [9])))["revisions"] == []


def test_what_is_idle_or_began_anew_takes_no_room() -> None:
    counted = Counted()
    counted.news(0.0, totals(v1=(100, 0, [100]), v2=(7, 0, [7])))
    counted.arrived()
    news = counted.news(1.0, totals(v1=(3, 0, [3]), v2=(7, 0, [7])))
    assert news["revisions"] == []


def test_a_report_is_bounded_to_the_busiest() -> None:
    counted = Counted()
    counted.news(0.0, {})
    counted.arrived()
    many: dict[Key, Counts] = {("shop", f"shop--v{n}"): (n, 0, [n]) for n in range(3000)}
    revisions = counted.news(1.0, many)["revisions"]
    assert len(revisions) == 1000
    assert min(requests for _, _, requests, _, _ in revisions) == 2000
