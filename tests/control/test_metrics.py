"""What the control plane counts, and for how long."""

from __future__ import annotations

from control.metrics import ControlCounters


def test_the_series_of_gone_revisions_go() -> None:
    counters = ControlCounters()
    for app, revision in (("shop", "shop--v1"), ("shop", "shop--v2"), ("blog", "blog--v1")):
        counters.count_probe_failure(app, revision, "Readiness")
    counters.forget(lambda app, revision: (app, revision) == ("shop", "shop--v2"))

    assert set(counters.probe_failures) == {("shop", "shop--v2", "Readiness")}
