"""Which image a revision is made of, and what is said while it is pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
import pytest
from aiohttp import web

from control.model.resources import Replica, replace
from control.runtime import Launch, StartFailed
from control.runtime.docker.images import Choice, Progress
from tests.control.support import World

LAYER = {"status": "Downloading", "id": "a1"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"status": "Pulling from team/web", "id": "1"}, "Pulling image web:1."),
        (LAYER | {"progressDetail": {}}, "Pulling image web:1."),
        (LAYER | {"progressDetail": {"current": 1 << 20, "total": 4 << 20}},
         "Pulling image web:1: 1.0 of 4.0 MiB."),
    ],
)  # fmt: skip
def test_how_much_of_an_image_is_here(line: dict[str, object], said: str) -> None:
    told: list[str] = []
    progress = Progress("web:1", told.append)
    progress.see(line)
    progress.see(line)  # within the same second: each report is a write
    assert told == [said]


class Registry:
    """An engine whose registry has another image under the tag with each pull, or none."""

    def __init__(self, here: str = "", *, has_it: bool = True) -> None:
        self.here, self.pulls, self._has_it = here, 0, has_it

    async def inspect(self, _: web.Request) -> web.Response:
        if not self.here:
            return web.json_response({"message": "no such image"}, status=404)
        return web.json_response({"Id": self.here})

    async def pull(self, _: web.Request) -> web.Response:
        self.pulls += 1
        if not self._has_it:
            why = b'{"message": "no route to it"}'  # as bytes: the engine names no charset
            return web.Response(body=why, content_type="application/json", status=500)
        self.here = f"sha256:pulled{self.pulls}"
        return web.json_response({"status": "Download complete"})

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[aiodocker.Docker]:
        app = web.Application()
        app.router.add_get(r"/v1.43/images/{name:.+}/json", self.inspect)
        app.router.add_post("/v1.43/images/create", self.pull)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            async with aiodocker.Docker(f"http://{host}:{port}", api_version="v1.43") as docker:
                yield docker
        finally:
            await runner.cleanup()


class Starting:
    """A revision whose replicas are about to start."""

    def __init__(self, *, pulls: bool) -> None:
        world = World()
        world.deploy(suffix="v1", image="web:1", replicas=2)
        world.plan()
        revision = replace(world.view.revisions["shop--v1"], pulls=pulls)
        self.images: dict[str, str] = {}
        self.said: list[str] = []
        self.launches = [self._launch(r, revision) for r in world.view.replicas.values()]

    def _launch(self, replica: Replica, revision: Any) -> Launch:
        return Launch(
            replica, revision, [], "", 80, {}, progress=self.said.append,
            known_images=lambda: self.images, made_of=self._made_of,
        )  # fmt: skip

    def _made_of(self, images: Mapping[str, str]) -> None:
        self.images = self.images or dict(images)


@pytest.mark.parametrize("pulls", [True, False])
async def test_all_replicas_of_a_revision_are_made_of_what_its_first_one_pulled(
    pulls: bool,
) -> None:
    engine, starting, choice = Registry(), Starting(pulls=pulls), Choice()
    async with engine.answering() as docker:
        found = await asyncio.gather(
            *(choice.of(docker, ["web:1"], launch) for launch in starting.launches)
        )
    assert [images["web:1"].id for images in found] == ["sha256:pulled1"] * 2
    assert engine.pulls == 1


async def test_it_is_told_when_what_is_here_is_used_for_want_of_a_pull() -> None:
    engine, starting = Registry("sha256:built", has_it=False), Starting(pulls=True)
    async with engine.answering() as docker:
        found = await Choice().of(docker, ["web:1"], starting.launches[0])
    assert found["web:1"].id == "sha256:built"
    assert starting.said == [
        "image web:1 cannot be pulled: no route to it; the one that is here is used."
    ]


async def test_a_pull_that_fails_leaves_the_next_replica_to_try() -> None:
    engine, starting, choice = Registry(has_it=False), Starting(pulls=False), Choice()
    async with engine.answering() as docker:
        found = await asyncio.gather(
            *(choice.of(docker, ["web:1"], launch) for launch in starting.launches),
            return_exceptions=True,
        )
    assert [type(error) for error in found] == [StartFailed, StartFailed]
    assert (engine.pulls, starting.images) == (2, {})
