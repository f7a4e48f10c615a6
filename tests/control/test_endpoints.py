"""A revision with many endpoints costs by their number, which is bounded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from control.clock import SystemClock
from control.errors import Invalid
from control.metrics import ControlCounters
from control.prober import Verdict
from control.publisher import Publisher
from control.reconciler import Reconciler
from control.resources import ReplicaState
from control.runtime.endpoint import EndpointRuntime
from control.settings import ControlSettings
from control.store import Store
from control.targets import PRIVATE, Targets
from control.template import Template
from tests.control.support import World
from tests.support.builders import a_body


def places(count: int) -> str:
    return "endpoint:" + ",".join(f"127.1.{n >> 8}.{n & 255}:1" for n in range(count))


def test_more_endpoints_than_can_be_looked_after_are_refused() -> None:
    """5,000 of them held up the whole plane for more than a minute."""
    runtime = EndpointRuntime(Targets(PRIVATE))
    runtime.check(Template.model_validate({"containers": [{"image": places(300)}]}))
    with pytest.raises(Invalid, match="301 addresses are too many, a revision has at most 300"):
        runtime.check(Template.model_validate({"containers": [{"image": places(301)}]}))


async def seconds(tmp_path: Path, count: int) -> float:
    """What it takes to hear of each replica of an app that it is not ready any more."""
    folder = tmp_path / str(count)
    store = Store(folder / "control.db")
    settings = ControlSettings(admin="127.0.0.1:0", state=folder, runtimes=("endpoint",))
    publisher = Publisher(store, "localhost", lease_s=60)
    lives = Reconciler(settings, store, publisher, ControlCounters(), SystemClock()).lives
    world = World()
    world.deploy(a_body(image=places(count)))
    world.settle()
    store.write("shop", store.view("shop"), world.view)
    names = list(store.view("shop").replicas)
    assert len(names) == count
    began = time.process_time()
    for name in names:
        lives.on_verdict(name, Verdict.UNREADY, "it is closed")
    took = time.process_time() - began
    assert {r.state for r in store.view("shop").replicas.values()} == {ReplicaState.UNREADY}
    store.close()
    return took


async def test_a_verdict_costs_little_more_with_many_replicas(tmp_path: Path) -> None:
    few, many = [
        min([await seconds(tmp_path / str(again), count) for again in range(3)])
        for count in (100, 1_600)
    ]
    assert many < 48 * few  # 16 of them are the number; it was 30 for 8 times as many
