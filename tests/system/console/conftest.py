"""A browser in front of a real control plane and router; they are shared by a module's tests."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.turnout import Turnout, until

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--enable-precise-memory-info"]  # fmt: skip
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not longer than a module: Playwright runs a loop in this thread, where others run theirs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def plane(shared_state: Path) -> Iterator[Turnout]:
    """Both halves, with tokens of every role."""
    tokens = shared_state / "tokens"
    tokens.write_text("ann write token-of-ann\nbob read token-of-bob\nedge router token-of-edge\n")
    no_engine = f"unix://{shared_state}/no-engine.sock"
    settings = {"state": shared_state / "s", "docker_host": no_engine, "workers": 1}
    with Plane(
        "up", listen="127.0.0.1:0", admin="127.0.0.1:0", token_file=tokens, **settings
    ) as plane:
        yield plane


class Plane(Turnout):
    """A server whose token is one of a file."""

    @property
    def token(self) -> str:
        return "token-of-ann"

    def app(self, *suffixes: str, mode: str = "multiple") -> str:
        """An app with these revisions, all ready; the first has all traffic."""
        name = f"shop{next(_numbers)}"
        for suffix in suffixes:
            body = {
                "configuration": {"activeRevisionsMode": mode, "ingress": {"targetPort": 80}},
                "template": template(suffix),
            }
            self.must("PUT" if suffix == suffixes[0] else "PATCH", f"/v1/apps/{name}", body)
            if suffix == suffixes[0] and mode == "multiple":
                self.weigh(name, {suffix: 100})
        until(lambda: self.states(name) <= {"Running", "RunningAtMaxScale"})
        return name

    def weigh(self, app: str, weights: dict[str, int]) -> None:
        rules = [{"revisionName": f"{app}--{s}", "weight": w} for s, w in weights.items()]
        self.must("PUT", f"/v1/apps/{app}/traffic", {"traffic": rules})

    def revisions(self, app: str) -> dict[str, dict[str, Any]]:
        found = self.must("GET", f"/v1/apps/{app}/revisions")["value"]
        return {r["name"].partition("--")[2]: r for r in found}

    def states(self, app: str) -> set[str]:
        return {r["runningState"] for r in self.revisions(app).values() if r["active"]}

    def weights(self, app: str) -> dict[str, int]:
        return {s: r["trafficWeight"] for s, r in self.revisions(app).items() if r["trafficWeight"]}

    def answers(self, host: str, times: int = 20) -> set[str]:
        """The revisions that answer a host."""
        said = [self.get(f"{host}.localhost", Accept="application/json") for _ in range(times)]
        return {body.partition('"revision": "')[2].partition('"')[0] for *_, body in said}


def template(suffix: str) -> dict[str, Any]:
    get = {"path": "/healthz", "port": 80}
    probes = [{"type": "Readiness", "httpGet": get, "periodSeconds": 1}]
    container = {"name": "main", "image": "process:demo", "probes": probes}
    scale = {"minReplicas": 1, "maxReplicas": 1}
    return {"revisionSuffix": suffix, "containers": [container], "scale": scale}


@contextmanager
def opened(
    browser: Browser, plane: Turnout, *, is_probed: bool = False, **options: Any
) -> Iterator[Page]:
    """A page of nobody yet; it asks nobody but the server, and breaks no policy."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda m: complaints.append(m.text) if "Content Security" in m.text else None
    )
    page.goto(f"{plane.server}/")
    yield page
    context.close()
    assert {urlsplit(url).netloc for url in asked} <= {plane.facts["admin"]}
    assert is_probed or complaints == []  # axe-core tries styles of its own


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Apps").wait_for()


@pytest.fixture
def page(browser: Browser, plane: Turnout) -> Iterator[Page]:
    """Ann's, who may write."""
    with opened(browser, plane) as page:
        sign_in(page, "token-of-ann")
        yield page


class Asked:
    """A host that is asked all the time, while the block lasts."""

    def __init__(self, plane: Turnout, host: str) -> None:
        self._plane = plane
        self._host = host
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.02):
            self._plane.get(self._host)
