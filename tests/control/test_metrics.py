"""What the control plane counts, and for how long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.model.kinds import AppName
from control.model.resources import AppView, replace
from control.ops.health import Health
from control.ops.metrics import ControlCollector, ControlCounters
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.store import Store
from tests.control.support import ALICE, World
from tests.control.test_rollback import Shop


def test_the_series_of_gone_revisions_go() -> None:
    counters = ControlCounters()
    for app, revision in (("shop", "shop--v1"), ("shop", "shop--v2"), ("blog", "blog--v1")):
        counters.count_probe_failure(app, revision, "Readiness")
        counters.count_restart(app, revision, "OOMKilled")
    counters.forget(lambda app, revision: (app, revision) == ("shop", "shop--v2"))

    assert set(counters.probe_failures) == {("shop", "shop--v2", "Readiness")}
    assert counters.restarts == {("shop", "shop--v2", "OOMKilled"): 1}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "control.db")
    yield store
    store.close()


def a_collector(store: Store, counters: ControlCounters) -> tuple[ControlCollector, Publisher]:
    publisher = Publisher(store, "localhost", lease_s=60)
    health = Health(store, publisher, Quarantine(store, publisher))
    return ControlCollector(store, health, counters), publisher


def samples(collector: ControlCollector, name: str) -> dict[str, float]:
    """The samples of a family, by what tells them apart."""
    (family,) = (f for f in collector.collect() if f.name == name)
    return {" ".join(s.labels.values()): s.value for s in family.samples}


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_rollback_counts_once_it_has_led_there(store: Store, is_broken: bool) -> None:
    counters = ControlCounters()
    store.on_record = counters.count_record
    collector, _ = a_collector(store, counters)
    shop = Shop(store)
    shop.deploy("v1")
    shop.deploy("v2")
    assert samples(collector, "turnout_rollbacks") == {"shop": 0}
    assert counters.rollbacks == {}
    if is_broken:
        shop.broken.add("shop--v1")
    shop.roll_back()
    assert samples(collector, "turnout_rollbacks") == {"shop": 0 if is_broken else 1}

    shop.changes.delete(ALICE, AppName("shop"))
    assert samples(collector, "turnout_rollbacks") == {}
    counters.forget(lambda app, revision: False)
    assert not counters.rollbacks


def test_a_scrape_says_how_replicas_are_and_since_when_revisions(store: Store) -> None:
    collector, _ = a_collector(store, ControlCounters())
    shop = Shop(store)
    shop.deploy("v1")
    shop.broken.add("shop--v2")
    shop.deploy("v2")
    assert samples(collector, "turnout_replicas") == {
        "shop shop--v1 Ready": 1,
        "shop shop--v2 Starting": 1,
    }
    made = {f"shop {r.name}": r.created_at for r in shop.view.revisions.values()}
    assert samples(collector, "turnout_revision_created_timestamp_seconds") == made


def test_a_router_is_behind_until_it_has_the_table(store: Store) -> None:
    collector, publisher = a_collector(store, ControlCounters())
    publisher.publish([])
    publisher.hear("one", publisher.epoch, 0, {}, lambda: True)
    publisher.hear("two", publisher.epoch, publisher.version, {}, lambda: True)
    first = samples(collector, "turnout_router_behind_seconds")
    assert first["two"] == 0
    assert 0 < first["one"] < samples(collector, "turnout_router_behind_seconds")["one"]
    publisher.hear("one", publisher.epoch, publisher.version, {}, lambda: True)
    assert samples(collector, "turnout_router_behind_seconds") == {"one": 0, "two": 0}


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


def test_a_scrape_counts_only_what_has_changed(store: Store) -> None:
    world = World("app0")
    for suffix in ("v1", "v2", "v3"):
        world.deploy(suffix=suffix)
        world.settle()
    for n in range(100):
        store.write(f"app{n}", store.view(f"app{n}"), world.view)
    collector, _ = a_collector(store, ControlCounters())

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
