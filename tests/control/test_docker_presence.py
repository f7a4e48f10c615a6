"""An engine that was away, and one whose stream of events ended while it was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.model.resources import ReplicaState
from control.runtime.docker import presence, runtime
from tests.control.engine import Engine, a_loop
from tests.control.support import ALICE
from tests.control.test_reconciler import Loop, until
from tests.support.builders import a_body

CREATE, EVENTS = "POST /containers/create", "GET /events"
WAITING = {"restart_backoff_s": 3600.0, "max_backoff_s": 3600.0}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_RETRY_S", 0.01)
    monkeypatch.setattr(presence, "_RETRY_S", 0.01)


async def until_it_waits(loop: Loop) -> None:
    """Until its one replica has failed to start so often that it waits for an hour."""
    loop.changes.put(ALICE, "shop", a_body("v1", image="web:1"))
    await until(lambda: any(r.restarts == 2 for r in loop.replicas("shop")))


async def test_a_stream_that_ends_is_no_reason_to_start_again_what_waits(tmp_path: Path) -> None:
    engine = Engine()
    engine.refusal = "no space left on device"
    async with engine.serving(), a_loop(tmp_path, engine, **WAITING) as loop:
        await until_it_waits(loop)
        asked = engine.asked[CREATE]
        await engine.until_asked(EVENTS, engine.asked[EVENTS] + 4)
        assert engine.asked[CREATE] == asked
        assert [r.state for r in loop.replicas("shop")] == [ReplicaState.BACKOFF]


async def test_a_start_waits_for_an_engine_that_has_gone(tmp_path: Path) -> None:
    """It is no failure of the replica: a deploy under way goes on when the engine is back."""
    engine = Engine()
    async with engine.serving(), a_loop(tmp_path, engine, **WAITING) as loop:
        loop.changes.put(ALICE, "other", a_body("v1", image="web:1"))
        await engine.until_asked(CREATE)
        loop.changes.delete(ALICE, "other")
        await until(lambda: not loop.replicas("other"))
        engine.leave()
        asked = engine.asked["GET /containers/json"]
        loop.changes.put(ALICE, "shop", a_body("v1", image="web:1"))
        await engine.until_asked("GET /containers/json", asked + 5)
        (replica,) = loop.replicas("shop")
        assert (replica.state, replica.restarts) == (ReplicaState.PENDING, 0)
        assert "does not answer (Server disconnected); start it" in replica.message
        engine.come_back()
        await until(lambda: loop.replicas("shop")[0].state is ReplicaState.STARTING)
        assert "does not answer" not in loop.replicas("shop")[0].message


async def test_what_waits_starts_when_an_engine_is_back(tmp_path: Path) -> None:
    engine = Engine()
    engine.refusal = "it is about to leave"
    engine.may_listen.set()
    async with engine.serving(), a_loop(tmp_path, engine, **WAITING) as loop:
        await until_it_waits(loop)
        await engine.until_asked(EVENTS)
        asked = engine.asked["GET /version"]
        engine.leave()
        # A call that is cut off is made once more; whoever asks a third time knows.
        await engine.until_asked("GET /version", asked + 3)
        engine.refusal = ""
        engine.come_back()
        await until(lambda: len(engine.containers) == 1)
