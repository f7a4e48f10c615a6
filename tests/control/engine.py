"""A Docker Engine of a few lines, over a real socket: it has containers, and is as slow as told."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from control.changes.changes import Changes
from control.changes.places import Places
from control.runtime.docker.runtime import DockerRuntime
from control.settings import ControlSettings
from tests.control.test_reconciler import Loop, running, until

_VERSION = re.compile(r"^/v[0-9.]+")


class Engine:
    """What it was asked for, and what it has."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: Counter[str] = Counter()  # "GET /version" and the like
        self.containers: dict[str, dict[str, Any]] = {}
        self.may_create = asyncio.Event()
        self.may_create.set()
        self.may_end = asyncio.Event()  # what `wait` waits for
        self.may_listen = asyncio.Event()  # until then a stream of events ends at once
        self.refusal = ""  # what is said to who wants a container made
        self.is_away = False
        self._over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One call of its API."""
        path = _VERSION.sub("", request.path)
        self.asked[f"{request.method} {path}"] += 1
        if self.is_away:
            assert request.transport is not None
            request.transport.abort()
        if path == "/version":
            return web.json_response({"ApiVersion": "1.45"})
        if path == "/events":
            return await self._events(request)
        if path.startswith("/images/"):
            return web.json_response({"Id": "sha256:1"})
        if path == "/networks":
            return web.json_response([{"Name": "turnout", "Id": "n", "Created": ""}])
        if path == "/volumes":
            return web.json_response({"Volumes": []})
        return await self._of_containers(request, path)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        if self.may_listen.is_set():
            await self._over.wait()
        return stream

    async def _of_containers(self, request: web.Request, path: str) -> web.StreamResponse:
        if path == "/containers/json":
            is_running = "running" in request.query["filters"]
            return web.json_response([] if is_running else [{"Id": i} for i in self.containers])
        if path == "/containers/create" and self.refusal:
            return web.json_response({"message": self.refusal}, status=500)
        if path == "/containers/create":
            made = await request.json()
            asyncio.create_task(self._create(made)).add_done_callback(lambda t: t.result())
            await self.may_create.wait()
            return web.json_response({"Id": self._id(made)})
        number = path.split("/")[2]
        if request.method == "DELETE":
            del self.containers[number]
        elif path.endswith("/json"):
            return web.json_response(_shown(self.containers[number]))
        elif path.endswith("/wait"):
            await self.may_end.wait()
        return web.Response(status=204)

    async def _create(self, made: dict[str, Any]) -> None:
        """As a real one does, whether the caller is still there or not."""
        await self.may_create.wait()
        self.containers[self._id(made)] = made

    def _id(self, made: dict[str, Any]) -> str:
        return str(made["Labels"]["turnout.container"])

    def leave(self) -> None:
        """Answer nobody, and end what is listened to."""
        self.is_away = True
        self._over.set()

    def come_back(self) -> None:
        """Answer again."""
        self.is_away = False
        self._over = asyncio.Event()

    async def until_asked(self, call: str, times: int = 1) -> None:
        """Until it was asked for something often enough."""
        await until(lambda: self.asked[call] >= times)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Engine]:
        """Open a port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"tcp://{host}:{port}"
        try:
            yield self
        finally:
            self._over.set()
            await runner.cleanup()


def _shown(made: dict[str, Any]) -> dict[str, Any]:
    """A container that runs, and has no address yet."""
    return {
        "Config": {"Labels": made["Labels"], "Image": made["Image"]},
        "Image": "sha256:1",
        "State": {"Running": True, "Pid": 0, "ExitCode": 0},
        "HostConfig": {},
        "NetworkSettings": {"Networks": {}},
    }


@asynccontextmanager
async def a_loop(folder: Path, engine: Engine, **given: Any) -> AsyncIterator[Loop]:
    """A reconciler whose containers the engine runs."""
    loop = Loop(folder, drain_timeout_s=0.2, **given)
    events = loop.reconciler.events
    settings = ControlSettings(state=folder, docker_host=engine.url)

    async def on_back(was_away: bool) -> None:
        await loop.reconciler.recovery.engine_back("docker", was_away)

    docker = DockerRuntime(settings, loop.store.instance, events.on_exit, on_back, events.on_pause)
    runtimes = {"docker": docker, "endpoint": loop.runtime}
    loop.reconciler.use(runtimes)
    places = Places(loop.store, "local", "local")
    loop.changes = Changes(loop.store, runtimes, "localhost", places)
    try:
        async with running(loop):
            yield loop
    finally:
        await docker.close()
