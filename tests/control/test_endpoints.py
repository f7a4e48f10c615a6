"""A revision with many endpoints costs by their number, which is bounded."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest

from control.model.errors import Invalid
from control.model.resources import ReplicaState
from control.model.targets import PRIVATE, Targets
from control.model.template import Template
from control.probes.prober import Verdict
from control.publish.publisher import Publisher
from control.runtime.endpoint import EndpointRuntime
from control.settings import ControlSettings
from control.store import Store
from tests.control.support import World, a_reconciler
from tests.support.builders import a_body


def places(count: int) -> str:
    return "endpoint:" + ",".join(f"127.1.{n >> 8}.{n & 255}:1" for n in range(count))


def test_more_endpoints_than_can_be_looked_after_are_refused() -> None:
    """5,000 of them held up the whole plane for more than a minute."""
    runtime = EndpointRuntime(Targets(PRIVATE))
    runtime.check(Template.model_validate({"containers": [{"image": places(300)}]}))
    with pytest.raises(Invalid, match="301 addresses are too many, a revision has at most 300"):
        runtime.check(Template.model_validate({"containers": [{"image": places(301)}]}))


async def calls(folder: Path, count: int) -> float:
    """Calls of functions, for each replica of an app of which is heard that it is not ready."""
    store = Store(folder / "control.db")
    settings = ControlSettings(admin="127.0.0.1:0", state=folder, runtimes=("endpoint",))
    publisher = Publisher(store, "localhost", lease_s=60)
    events = a_reconciler(settings, store, publisher).events
    world = World()
    world.deploy(a_body(image=places(count)))
    world.settle()
    store.write("shop", store.view("shop"), world.view)
    names = list(store.view("shop").replicas)
    assert len(names) == count
    made = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        for name in names:
            events.on_verdict(name, Verdict.UNREADY, "it is closed")
    finally:
        sys.setprofile(None)
    assert {r.state for r in store.view("shop").replicas.values()} == {ReplicaState.UNREADY}
    store.close()
    return made / count


async def test_a_verdict_walks_over_no_other_replica(tmp_path: Path) -> None:
    few, many = [await calls(tmp_path / str(count), count) for count in (50, 400)]
    assert many < 2 * few
