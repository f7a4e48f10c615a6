"""A console that stays open: thousands of events leave no memory in use, and the last one holds."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from playwright.sync_api import Browser, CDPSession, Page, expect

from control.console import files
from tests.support.turnout import until
from tests.system.console.conftest import Asked, Plane

EVENTS = 4000  # of state, and as many of rates: more than an hour brings
WARM = 500  # caches, compiled code, and a chart as long as it gets


def events_of(plane: Plane, app: str) -> dict[str, Any]:
    """One event of each kind, as a real control plane sends it."""
    url = f"{plane.server}/v1/events?app={app}"
    request = urllib.request.Request(url, headers=plane.authorization)
    found: dict[str, Any] = {}
    with urllib.request.urlopen(request, timeout=30) as stream:
        name = ""
        while not found.keys() >= {"hello", "app", "rates"} or not found["rates"]["revisions"]:
            line = stream.readline().decode().rstrip()
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found[name] = json.loads(line[6:])
    return found


class Fast:
    """Serves the console's own files, and a stream that is faster than any control plane's."""

    def __init__(self, seen: dict[str, Any]) -> None:
        self._seen = seen
        self.sent = 0
        self.go_on = threading.Event()
        self.address = ""

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self._send(response, "hello", self._seen["hello"] | {"console": files.version()})
        while self.sent < WARM + EVENTS:
            if self.sent == WARM:
                await asyncio.to_thread(self.go_on.wait)
            self.sent += 1
            await self._send(response, "app", self._state(self.sent))
            await self._send(response, "rates", self._rates(self.sent))
            await asyncio.sleep(0.004)
        await asyncio.Event().wait()
        return response

    def _state(self, number: int) -> dict[str, Any]:
        state = copy.deepcopy(self._seen["app"])
        state["app"]["version"] = number // 50
        first, second = state["revisions"][:2]
        first["trafficWeight"] = number % 101
        second["trafficWeight"] = 100 - number % 101
        second["runningState"] = ("Running", "Activating", "Degraded")[number % 3]
        second["labels"] = [f"l{number % 7}"] if number % 2 else []
        second["labelHosts"] = {label: f"{label}.localhost" for label in second["labels"]}
        if number % 5 == 0:  # a revision that comes and goes
            state["revisions"] = state["revisions"][:2]
        return dict(state)

    def _rates(self, number: int) -> dict[str, Any]:
        names = [row["name"] for row in self._seen["app"]["revisions"]]
        one = [float(number), 0.01 * (number % 9), 1.0, 10.0, 1 / len(names)]
        return {"app": one, "revisions": dict.fromkeys(names, one)}

    async def _send(self, response: web.StreamResponse, name: str, value: Any) -> None:
        await response.write(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode())


@contextmanager
def serving(fast: Fast) -> Iterator[None]:
    async def who(_: web.Request) -> web.Response:
        return web.json_response({"name": "", "role": "write"})

    async def journal(_: web.Request) -> web.Response:
        return web.json_response({"value": []})

    async def serve() -> None:
        app = web.Application()
        app.add_routes(files.routes())
        app.router.add_get("/v1/events", fast.events)
        app.router.add_get("/v1/session", who)
        app.router.add_get("/v1/journal", journal)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fast.address = "http://{}:{}".format(*runner.addresses[0][:2])
        started.set()
        await asyncio.to_thread(stop.wait)
        await runner.cleanup()

    started, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield
    finally:
        fast.go_on.set()
        stop.set()
        thread.join()


def in_use(page: Page, debugger: CDPSession) -> tuple[float, float]:
    """MiB of JavaScript, and nodes of documents, after everything that may go has gone."""
    for _ in range(3):
        debugger.send("HeapProfiler.collectGarbage")
    found = {m["name"]: m["value"] for m in debugger.send("Performance.getMetrics")["metrics"]}
    return found["JSHeapUsedSize"] / (1 << 20), found["Nodes"]


def test_thousands_of_events_leave_nothing_behind(browser: Browser, plane: Plane) -> None:
    app = plane.app("v1", "v2", "v3")
    with Asked(plane, f"{app}.localhost"):
        fast = Fast(events_of(plane, app))
    context = browser.new_context()
    with serving(fast):
        page = context.new_page()
        debugger = context.new_cdp_session(page)
        debugger.send("Performance.enable")
        page.goto(fast.address)
        page.evaluate("localStorage.setItem('turnout-session', 'x')")
        page.goto(f"{fast.address}/#/apps/{app}")
        page.reload()
        weight = page.get_by_role("spinbutton").nth(0)
        rate = page.get_by_role("table", name="Revisions").locator("td[data-of='Req/s']").first
        until(lambda: fast.sent == WARM)
        expect(rate).to_have_text(str(WARM))
        before, nodes_before = in_use(page, debugger)
        fast.go_on.set()
        until(lambda: fast.sent == WARM + EVENTS, timeout_s=240)
        expect(rate).to_have_text(str(WARM + EVENTS))
        expect(weight).to_have_value(str((WARM + EVENTS) % 101))
        after, nodes_after = in_use(page, debugger)
        page.goto("about:blank")  # the stream ends before its server does
    context.close()
    print(f"{before:.1f} -> {after:.1f} MiB, {nodes_before:.0f} -> {nodes_after:.0f} nodes")
    assert after < before * 1.25 + 0.5
    assert nodes_after < nodes_before * 1.25 + 100
