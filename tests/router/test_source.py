"""A router's conversation with a control plane, over a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from router.contract.snapshot import Snapshot
from router.sources.control_plane import _SILENT_RETRIES, ControlSource
from router.sources.counted import Counts, Key
from router.sources.last_good import LastGood
from router.sources.received import Received
from tests.router.test_received import a_delta, a_table, an_app

WAIT_S = 10.0


class Router:
    """What the source asks of a router that takes every table at once."""

    def __init__(self) -> None:
        self.table = Snapshot()

    def applied(self) -> tuple[str, int]:
        return self.table.epoch, self.table.version

    def departed(self) -> dict[str, int]:
        return {}

    def has_orphans(self) -> bool:
        return False

    def counts(self) -> dict[Key, Counts]:
        return {}

    def failures(self) -> dict[str, tuple[int, int]]:
        return {}


class Control:
    """A control plane that says what a test wants, and keeps what it was told."""

    def __init__(self, answer: Callable[[dict[str, Any]], bytes | None]) -> None:
        self.reports: list[dict[str, Any]] = []
        self.told = asyncio.Event()
        self._answer = answer

    async def sync(self, request: web.Request) -> web.Response:
        report = orjson.loads(await request.read())
        self.reports.append(report)
        self.told.set()
        body = self._answer(report)
        if body is None:
            await asyncio.sleep(report["wait_s"])
            return web.Response(status=204)
        return web.Response(body=body)

    async def until(self, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first report of that kind."""
        async with asyncio.timeout(WAIT_S):
            while not (found := [r for r in self.reports if what(r)]):
                self.told.clear()
                await self.told.wait()
        return found[0]


@asynccontextmanager
async def following(control: Control, folder: Path) -> AsyncIterator[tuple[Router, list[str]]]:
    """A router that follows a control plane: its table, and what it refused."""
    app = web.Application()
    app.router.add_post("/v1/sync", control.sync)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "control.sock")).start()
    router, refusals = Router(), []
    source = ControlSource(f"unix:{folder}/control.sock", folder / "router", lambda: "")

    async def follow() -> None:
        async for what in source.follow(router):
            if isinstance(what, Snapshot):
                router.table = what
            else:
                refusals.append(what)

    task = asyncio.create_task(follow())
    try:
        yield router, refusals
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.cleanup()


def answers(table: dict[str, Any]) -> Callable[[dict[str, Any]], bytes | None]:
    """The table, to every router that does not have its version."""
    body = orjson.dumps(table)
    return lambda report: None if report["known"].get("version") == table["version"] else body


async def test_a_table_with_a_bad_app_is_taken_acknowledged_and_the_app_reported(
    tmp_path: Path,
) -> None:
    control = Control(answers(a_table(an_app("shop", hosts=["blog"]), an_app("blog"), version=7)))
    async with following(control, tmp_path) as (router, refusals):
        report = await control.until(lambda r: r["applied"] == 7)

    assert [app.name for app in router.table.apps] == ["blog"]
    assert refusals == []
    assert "is the name of app blog" in report["refused"]["shop"]


async def test_it_is_known_when_the_control_plane_last_said_something(tmp_path: Path) -> None:
    control = Control(answers(a_table(an_app("shop"))))
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    app.router.add_post("/v1/sync", control.sync)
    await runner.setup()
    source = ControlSource(f"unix:{tmp_path}/control.sock", tmp_path / "router", lambda: "")
    following = source.follow(Router())
    first = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    assert source.heard_at == 0
    began = time.time()
    await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
    async with asyncio.timeout(WAIT_S):
        await first
    assert began <= source.heard_at <= time.time()
    await following.aclose()
    await source.kept()
    await runner.cleanup()


async def test_a_table_that_workers_were_given_is_kept_although_nobody_follows_any_more(
    tmp_path: Path,
) -> None:
    """As in an upgrade: the code that comes would begin with the table before."""
    app = web.Application()
    control = Control(answers(a_table(an_app("shop"))))
    app.router.add_post("/v1/sync", control.sync)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "control.sock")).start()
    source = ControlSource(f"unix:{tmp_path}/control.sock", tmp_path / "router", lambda: "")
    following = source.follow(Router())
    async with asyncio.timeout(WAIT_S):
        given = await anext(following)
    await following.aclose()
    await source.kept()
    await runner.cleanup()
    assert isinstance(given, Snapshot)
    assert LastGood(tmp_path / "router").load().snapshot().version == given.version == 1


async def test_a_table_that_is_refused_whole_is_asked_for_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.sources.control_plane._RETRY_S", 0.05)
    control = Control(lambda _: b"this is not a table")
    async with following(control, tmp_path) as (router, refusals):
        async with asyncio.timeout(WAIT_S):
            while len(refusals) < 4:
                await asyncio.sleep(0.01)
        polls = len(control.reports)

    assert polls <= 5
    assert router.table.version == 0


async def test_a_router_begins_with_the_last_good_table(tmp_path: Path) -> None:
    control = Control(answers(a_table(an_app("shop"), version=3)))
    async with following(control, tmp_path):
        await control.until(lambda r: r["applied"] == 3)
    (tmp_path / "control.sock").unlink(missing_ok=True)

    silent = Control(lambda _: None)
    async with following(silent, tmp_path) as (router, _):
        report = await silent.until(lambda r: r["applied"] == 3)

    before = control.reports[0]
    assert (report["router"], report["key"]) == (before["router"], before["key"])
    assert len(report["key"]) == 32
    assert [app.name for app in router.table.apps] == ["shop"]
    assert report["known"] == {"epoch": "e", "version": 3, "hash": a_table(an_app("shop"))["hash"]}


async def test_a_delta_on_several_lines_is_there_after_a_restart(tmp_path: Path) -> None:
    """Its control plane, or a proxy before it, may spell JSON as it likes."""
    received, new = Received(), an_app("shop", "v2")
    table = a_table(an_app("shop"))
    received.take(table)
    delta = a_delta(received, new, then=[new])

    def answer(report: dict[str, Any]) -> bytes | None:
        version = report["known"].get("version", 0)
        if version == 2:
            return None
        return orjson.dumps(delta if version else table, option=orjson.OPT_INDENT_2)

    control = Control(answer)
    async with following(control, tmp_path) as (_, refusals):
        await control.until(lambda r: r["applied"] == 2)

    again = LastGood(tmp_path / "router").load()
    assert refusals == []
    assert [r.name for app in again.snapshot().apps for r in app.revisions] == ["shop--v2"]


@pytest.mark.parametrize(("status", "says"), [(401, "does not know this router's token"),
                                              (403, "may not follow")])  # fmt: skip
async def test_a_router_that_is_not_let_in_says_which_setting_helps(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    says: str,
) -> None:
    monkeypatch.setattr("router.sources.control_plane._RETRY_S", 0.01)
    asked: list[int] = []
    is_said = asyncio.Event()

    async def refuse(_: web.Request) -> web.Response:
        asked.append(status)
        if len(asked) > _SILENT_RETRIES:  # the answer before this one was one too many
            is_said.set()
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/v1/sync", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, f"{tmp_path}/control.sock").start()
    source = ControlSource(f"unix:{tmp_path}/control.sock", tmp_path / "router", lambda: "wrong")

    async def follow() -> None:
        async for _ in source.follow(Router()):
            pass

    following = asyncio.create_task(follow())
    try:
        async with asyncio.timeout(WAIT_S):
            await is_said.wait()
    finally:
        following.cancel()
        await runner.cleanup()
    assert says in caplog.text
    assert "TURNOUT_TOKEN" in caplog.text
