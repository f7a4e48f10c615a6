"""Nothing is left of a container whose start was given up, wherever the start was."""

from __future__ import annotations

from pathlib import Path

from control.model.resources import ReplicaState
from control.model.schema import AppBody
from tests.control.engine import Engine, a_loop
from tests.control.support import ALICE
from tests.control.test_reconciler import until
from tests.support.builders import a_body


def with_init() -> AppBody:
    body = a_body("v1", image="web:1").model_dump(by_alias=True)
    body["template"]["initContainers"] = [{"name": "prepare", "image": "web:1"}]
    return AppBody.model_validate(body)


async def test_a_container_that_is_being_made_is_removed_once_it_is_there(tmp_path: Path) -> None:
    async with Engine().serving() as engine, a_loop(tmp_path, engine) as loop:
        engine.may_create.clear()
        loop.changes.put(ALICE, "shop", a_body("v1", image="web:1"))
        await engine.until_asked("POST /containers/create")
        loop.changes.delete(ALICE, "shop")
        await until(lambda: any(r.state is ReplicaState.STOPPING for r in loop.replicas("shop")))
        for _ in range(5):
            await loop.turns()
        engine.may_create.set()
        await until(lambda: not loop.replicas("shop"))
        assert engine.containers == {}
        assert sum(n for call, n in engine.asked.items() if call.startswith("DELETE")) == 1


async def test_an_init_container_that_never_ends_is_removed(tmp_path: Path) -> None:
    async with Engine().serving() as engine, a_loop(tmp_path, engine) as loop:
        loop.changes.put(ALICE, "shop", with_init())
        await engine.until_asked("POST /containers/prepare/wait")
        loop.changes.delete(ALICE, "shop")
        await until(lambda: not loop.replicas("shop"))
        assert engine.containers == {}
        assert engine.asked["DELETE /containers/prepare"] == 1
