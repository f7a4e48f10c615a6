"""What routers say of failures, added up."""

from __future__ import annotations

from control.publish.failures import Failures


def test_what_several_routers_saw_is_added_up_until_they_are_gone() -> None:
    now = 0.0
    failures = Failures(lambda: now)
    failures.hear("one", {"shop--v2": (100, 40)})
    now = 20.0
    failures.hear("two", {"shop--v2": (60, 40), "shop--v1": (50, 1)})
    assert failures.percent("shop--v2") == 50.0
    assert failures.percent("shop--v1") == 2.0
    assert failures.percent("shop--v3") is None

    now = 30.0
    assert failures.percent("shop--v2") == 66.7
    failures.hear("two", {})
    assert failures.percent("shop--v2") is None


def test_a_router_that_names_revisions_without_end_fills_no_memory() -> None:
    failures = Failures(lambda: 0.0)
    failures.hear("one", {f"shop--v{n}": (2, 1) for n in range(5000)})
    assert failures.percent("shop--v999") == 50.0
    assert failures.percent("shop--v1000") is None
