"""Nothing is left of a container whose start was given up, wherever the start was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from control.places import Places
from control.resources import ReplicaState
from control.runtime.docker.runtime import DockerRuntime
from control.schema import AppBody
from control.service import Service
from control.settings import ControlSettings
from tests.control.engine import Engine
from tests.control.test_reconciler import Loop, running, until
from tests.support.builders import a_body


@asynccontextmanager
async def a_loop(folder: Path, engine: Engine) -> AsyncIterator[Loop]:
    """A reconciler whose containers the engine runs."""
    loop = Loop(folder, drain_timeout_s=0.2)
    lives = loop.reconciler.lives
    settings = ControlSettings(state=folder, docker_host=engine.url)

    async def on_back() -> None:
        await loop.reconciler.engine_back("docker")

    docker = DockerRuntime(settings, loop.store.instance, lives.on_exit, on_back, lives.on_pause)
    runtimes = {"docker": docker, "endpoint": loop.runtime}
    loop.reconciler.use(runtimes)
    places = Places(loop.store, "local", "local")
    loop.service = Service(loop.store, runtimes, "localhost", places)
    try:
        async with running(loop):
            yield loop
    finally:
        await docker.close()


def with_init() -> AppBody:
    body = a_body("v1", image="web:1").model_dump(by_alias=True)
    body["template"]["initContainers"] = [{"name": "prepare", "image": "web:1"}]
    return AppBody.model_validate(body)


async def test_a_container_that_is_being_made_is_removed_once_it_is_there(tmp_path: Path) -> None:
    async with Engine().serving() as engine, a_loop(tmp_path, engine) as loop:
        engine.may_create.clear()
        loop.service.put("shop", a_body("v1", image="web:1"))
        await engine.until_asked("POST /containers/create")
        loop.service.delete("shop")
        await until(lambda: any(r.state is ReplicaState.STOPPING for r in loop.replicas("shop")))
        for _ in range(5):
            await loop.turns()
        engine.may_create.set()
        await until(lambda: not loop.replicas("shop"))
        assert engine.containers == {}
        assert sum(n for call, n in engine.asked.items() if call.startswith("DELETE")) == 1


async def test_an_init_container_that_never_ends_is_removed(tmp_path: Path) -> None:
    async with Engine().serving() as engine, a_loop(tmp_path, engine) as loop:
        loop.service.put("shop", with_init())
        await engine.until_asked("POST /containers/prepare/wait")
        loop.service.delete("shop")
        await until(lambda: not loop.replicas("shop"))
        assert engine.containers == {}
        assert engine.asked["DELETE /containers/prepare"] == 1
