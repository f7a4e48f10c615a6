"""What the control plane counts, and for how long."""

from __future__ import annotations

import sys
from pathlib import Path

from control.model.resources import AppView, replace
from control.ops.health import Health
from control.ops.metrics import ControlCollector, ControlCounters
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.store import Store
from tests.control.support import World


def test_the_series_of_gone_revisions_go() -> None:
    counters = ControlCounters()
    for app, revision in (("shop", "shop--v1"), ("shop", "shop--v2"), ("blog", "blog--v1")):
        counters.count_probe_failure(app, revision, "Readiness")
        counters.count_restart(app, revision, "OOMKilled")
    counters.forget(lambda app, revision: (app, revision) == ("shop", "shop--v2"))

    assert set(counters.probe_failures) == {("shop", "shop--v2", "Readiness")}
    assert counters.restarts == {("shop", "shop--v2", "OOMKilled"): 1}


def counted(collector: ControlCollector) -> tuple[dict[str, float], int]:
    """What a scrape says of each app's state, and how many calls it took."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        families = list(collector.collect())
    finally:
        sys.setprofile(None)
    (states,) = (f for f in families if f.name == "turnout_revisions")
    return {f"{s.labels['app']} {s.labels['state']}": s.value for s in states.samples}, calls


def test_a_scrape_counts_only_what_has_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "control.db")
    world = World("app0")
    for suffix in ("v1", "v2", "v3"):
        world.deploy(suffix=suffix)
        world.settle()
    for n in range(100):
        store.write(f"app{n}", store.view(f"app{n}"), world.view)
    publisher = Publisher(store, "localhost", lease_s=60)
    health = Health(store, publisher, Quarantine(store, publisher))
    collector = ControlCollector(store, health, ControlCounters())

    first, many = counted(collector)
    again, few = counted(collector)
    assert first == again
    assert few * 3 < many
    assert sum(first[key] for key in first if key.startswith("app7 ")) == 3
    stopped = AppView(replace(world.app, is_stopped=True), world.view.revisions)
    store.write("app7", store.view("app7"), stopped)
    store.write("app8", store.view("app8"), AppView(None))
    changed, _ = counted(collector)
    of_two = ("app7 ", "app8 ")
    assert {k: n for k, n in changed.items() if k.startswith(of_two)} == {"app7 Stopped": 3}
    assert [k for k in first if k not in changed and not k.startswith(of_two)] == []
    store.close()
