"""`turnout demo`: everything on this machine, with an app to look at and a live split."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from control.cli.client import DEFAULT_SERVER, console, settings_here
from control.cli.commands.console import link
from control.up.launcher import Launcher, unless
from router.process import tokens

APP = "album-api"
_RATE_PER_S = 20  # gentle: one core is busy for a few thousandths of it
_REFRESH_S = 0.5
_WINDOW_S = 10.0  # of the observed split: a change shows while one looks
_READY_S = 60.0
_SEEN = f"Last {_WINDOW_S:.0f} s"
_COLUMNS = ("Revision", "Labels", "Weight", _SEEN, "Requests", "Replicas", "State")


def _template(suffix: str, **env: str) -> dict[str, Any]:
    get = {"path": "/healthz", "port": 80}
    return {
        "revisionSuffix": suffix,
        "containers": [
            {
                "name": "main",
                "image": "process:demo",
                "env": [{"name": name, "value": value} for name, value in env.items()],
                "probes": [
                    {"type": "Startup", "httpGet": get, "periodSeconds": 1, "failureThreshold": 60},
                    {"type": "Readiness", "httpGet": get, "periodSeconds": 2},
                ],
            }
        ],
        "scale": {"minReplicas": 2, "maxReplicas": 2},
    }


class Demo:
    """The running demo."""

    def __init__(self, launcher: Launcher, session: aiohttp.ClientSession) -> None:
        self._launcher = launcher
        self._session = session
        file = settings_here(launcher.state).token_file
        self._token = tokens.to_send(f"http://{launcher.admin}", file, launcher.state)
        self._seen: deque[tuple[float, str]] = deque()  # when, and which revision answered
        self._total = 0
        self._failed = 0
        self._revisions: list[dict[str, Any]] = []

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call to the control plane."""
        url = f"http://{self._launcher.admin}/v1/{path}"
        data = orjson.dumps(body) if body is not None else None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        async with self._session.request(method, url, data=data, headers=headers) as response:
            answer = await response.json(loads=orjson.loads)
            if response.status >= 400:
                raise RuntimeError(answer["error"]["message"])
            return answer

    async def deploy(self) -> None:
        """Two revisions, 80/20, the second one labelled staging; the third is a bad one."""
        configuration = {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}}
        app = {"configuration": configuration, "template": _template("v1")}
        if await self._exists():
            return  # a state directory of an earlier demo
        await self.call("PUT", f"apps/{APP}", app)
        rules = [
            {"revisionName": f"{APP}--v1", "weight": 80},
            {"revisionName": f"{APP}--v2", "weight": 20, "label": "staging"},
        ]
        pinned = {"ingress": {"targetPort": 80, "traffic": [{**rules[0], "weight": 100}]}}
        await self.call("PATCH", f"apps/{APP}", {"configuration": pinned})
        await self.call("PATCH", f"apps/{APP}", {"template": _template("v2")})
        bad = _template("v3", FAIL_PERCENT="25") | {"scale": {"minReplicas": 1, "maxReplicas": 1}}
        await self.call("PATCH", f"apps/{APP}", {"template": bad})
        await self.call("PUT", f"apps/{APP}/traffic", {"traffic": rules})

    async def link(self) -> str:
        """The console, signed in."""
        code = (await self.call("POST", "session/codes"))["code"]
        return link(f"http://{_reachable(self._launcher.admin)}", code)

    async def _exists(self) -> bool:
        return any(app["name"] == APP for app in (await self.call("GET", "apps"))["value"])

    async def wait_ready(self) -> None:
        """Until both revisions answer."""
        async with asyncio.timeout(_READY_S):
            while True:
                await self._refresh()
                states = [r.get("provisioningState") for r in self._revisions if r["active"]]
                if states and all(state == "Provisioned" for state in states):
                    return
                await asyncio.sleep(0.1)

    async def _refresh(self) -> None:
        self._revisions = (await self.call("GET", f"apps/{APP}/revisions"))["value"]

    async def send(self) -> None:
        """A gentle stream of requests to the app's host."""
        headers = {"Host": f"{APP}.localhost"}
        url = f"http://{_reachable(self._launcher.ingress)}/"
        while True:
            await asyncio.sleep(1 / _RATE_PER_S)
            try:
                async with self._session.get(url, headers=headers) as response:
                    body = await response.read()
                    if response.status == 200:
                        self._note(orjson.loads(body)["revision"])
                    else:
                        self._failed += 1
            except (aiohttp.ClientError, OSError):
                self._failed += 1

    def _note(self, revision: str) -> None:
        self._total += 1
        self._seen.append((time.monotonic(), revision))

    async def show(self) -> None:
        """The observed split, live."""
        with Live(self._view(), console=console, refresh_per_second=4) as live:
            while True:
                await asyncio.sleep(_REFRESH_S)
                with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
                    await self._refresh()
                live.update(self._view())

    def _view(self) -> Group:
        while self._seen and self._seen[0][0] < time.monotonic() - _WINDOW_S:
            self._seen.popleft()
        recent = Counter(revision for _, revision in self._seen)
        total = len(self._seen)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in (
            "Revision",
            "Labels",
            "Weight",
            f"Last {_WINDOW_S:.0f} s",
            "Replicas",
        ):
            table.add_column(title, no_wrap=True)
        table.add_column("State", overflow="ellipsis")  # what a narrow terminal cuts first
        for revision in sorted(self._revisions, key=lambda r: r["name"]):
            if not revision["active"]:
                continue
            share = recent[revision["name"]] / total if total else 0.0
            bar = "█" * round(share * 8)
            table.add_row(
                revision["name"],
                ", ".join(revision["labels"]),
                f"{revision['trafficWeight']} %",
                f"{share:6.1%} {bar:<8}",
                str(revision["replicas"]),
                str(revision.get("runningState")),
            )
        note = f"{self._total} requests in all, {self._failed} failed. Ctrl-C ends everything."
        return Group(table, Text(note, style="dim"))


def _reachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "") else address  # noqa: S104


def _print_targets(launcher: Launcher) -> None:
    """What a load generator can ask for; the recipes are in benchmarks/targets/."""
    url = f"http://{APP}.localhost:{launcher.ingress.rpartition(':')[2]}/"
    for query, what in (
        ("", "a small page"),
        ("?delay=50ms&jitter=20ms", "50 to 70 ms late"),
        ("?status=503", "an error of the app's own"),
        ("?size=1MiB", "a large answer; with &chunked=1 of unknown length"),
        ("?ws=1", "a WebSocket that says everything twice"),
    ):
        console.print(f"{url + query:<60} {what}", soft_wrap=True)


def _typed() -> str:
    """The turnout command for any shell on this host: by its name only if that is this one."""
    ours = Path(sys.executable).with_name("turnout")
    if shutil.which("turnout") == str(ours):
        return "turnout"
    return shlex.quote(str(ours))


def _curl(launcher: Launcher) -> str:
    return f'curl -H "Authorization: Bearer $(cat {tokens.path_in(launcher.state)})"'


def _print_tour(launcher: Launcher, console_link: str) -> None:
    port = launcher.ingress.rpartition(":")[2]
    server = f"http://{launcher.admin}"
    command = f"TURNOUT_STATE={shlex.quote(str(launcher.state))} {_typed()}"
    if server != DEFAULT_SERVER:
        command = f"TURNOUT_SERVER={server} {command}"
    lines = (
        f"console    {console_link}    signs in once; v3 is bad: shift traffic to it, roll back",
        f"app        http://{APP}.localhost:{port}/            80 % v1, 20 % v2",
        f"label      http://{APP}---staging.localhost:{port}/  the revision labelled staging",
        f"revision   http://{APP}--v1.localhost:{port}/        that revision",
        f"API        {_curl(launcher)} {server}/v1/apps",
        f"metrics    http://{launcher.admin}/metrics",
        f"try        {command} revision list {APP}",
        f"           {command} traffic set {APP} --revision-weight v1=50 --revision-weight v2=50",
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    sys.stdout.flush()


async def run(launcher: Launcher, stop: asyncio.Event, *, is_quiet: bool, is_target: bool) -> None:
    """Run the demo on what has been launched, until `stop`."""
    async with aiohttp.ClientSession() as session:
        demo = Demo(launcher, session)
        if not await unless(stop, _begin(demo)):
            return
        launcher.announce()
        _print_tour(launcher, await demo.link())
        if is_target:
            _print_targets(launcher)
            sys.stdout.flush()
        tasks = []
        if not is_quiet and not is_target:
            tasks = [asyncio.create_task(demo.send()), asyncio.create_task(demo.show())]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _begin(demo: Demo) -> None:
    await demo.deploy()
    await demo.wait_ready()
