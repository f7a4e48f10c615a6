"""SIGKILL of control, of the router and of the engine, in turn, under load; what failed counts."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.conftest import load_image
from tests.docker.engines import Engine
from tests.docker.test_runtime import body, is_ready
from tests.support.load import Load
from tests.support.turnout import Turnout, provisioned, until
from tests.system.test_under_load import part

RATE = 200.0
SENT_WITHOUT_ENGINE = 500
IN_FLIGHT_S = 0.5  # what was in flight on a killed process has failed by then
FLAGS = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1, "restart_backoff_s": 0.2}


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that may be killed, with the image in it."""
    with Engine(tmp_path, *getattr(request, "param", ())) as own, own.entered():
        load_image(own.docker)
        yield own


def running(own: Engine) -> set[str]:
    """Ids of the containers that run."""
    return set(own.docker("ps", "-q").split())


class Kills:
    """Kills one thing after another, and waits until all is well again."""

    def __init__(self, up: Turnout, own: Engine) -> None:
        self.up = up
        self.own = own
        self.windows: dict[str, tuple[float, float]] = {}

    def part(self, module: str) -> None:
        """Control, or the router's supervisor."""
        began = time.monotonic()
        os.kill(part(self.up, module), signal.SIGKILL)
        until(lambda: is_ready(self.up))
        self.is_well()
        self.windows[module] = (began, time.monotonic() + IN_FLIGHT_S)

    def worker(self) -> None:
        """The process that holds the connections."""
        (worker,) = self._workers()
        began = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        until(lambda: self._workers() not in ([], [worker]) and is_ready(self.up))
        self.windows["worker"] = (began, time.monotonic() + IN_FLIGHT_S)

    def _workers(self) -> list[int]:
        path = Path(f"/proc/{part(self.up, 'router')}/task/{part(self.up, 'router')}/children")
        return [int(pid) for pid in path.read_text().split()]

    def engine(self, load: Load) -> None:
        """The engine, which comes back when many requests were sent without it."""
        began, sent = time.monotonic(), load.outcome.sent
        self.own.kill()
        until(lambda: load.outcome.sent >= sent + SENT_WITHOUT_ENGINE)
        back = time.monotonic()
        self.own.start()
        self.is_well()
        self.windows["engine away"] = (began, back)
        self.windows["engine back"] = (back, time.monotonic())

    def window(self, moment: float) -> str:
        """What had just been killed at a moment.

        That of a failure; if nothing, that of its request: to connect to a container that is gone
        may take seconds, and all may be well by then.
        """
        found = (what for what, (a, b) in self.windows.items() if a <= moment <= b)
        return next(found, "")

    def is_well(self) -> None:
        """Two replicas run and serve."""
        provisioned(self.up, "web--v1")
        path = "/v1/apps/web/revisions/web--v1/replicas"

        def states() -> list[str]:
            return [r["runningState"] for r in self.up.must("GET", path)["value"]]

        # The engine first: what control said before it knew that all had ended says nothing.
        until(lambda: len(running(self.own)) == 2 and states() == ["Running", "Running"])
        until(lambda: self.up.get("web.localhost")[0] == 200)


@pytest.mark.parametrize("own", [("--live-restore",), ()], indirect=True,
                         ids=["live-restore", "plain"])  # fmt: skip
async def test_kills_in_turn(own: Engine, state: Path, request: pytest.FixtureRequest) -> None:
    """Only an engine that ends its containers when it comes back costs requests: Docker's default.

    Then replicas are started again by themselves, and no request fails while the engine is away.
    """
    is_live = "--live-restore" in own.flags
    with Turnout("up", state=state / "s", docker_host=own.host, **FLAGS) as up:
        kills = Kills(up, own)

        def kill_in_turn() -> None:
            before = running(own)
            kills.part("control")
            kills.part("router")
            kills.worker()
            assert running(own) == before
            kills.engine(load)
            assert (running(own) == before) == is_live

        await asyncio.to_thread(up.must, "PUT", "/v1/apps/web",
                                body("v1", "turnout-test:1", replicas=2))  # fmt: skip
        await asyncio.to_thread(kills.is_well)
        load = Load(up.port, "web.localhost", RATE)
        flowing = asyncio.create_task(load.run())
        await asyncio.to_thread(kill_in_turn)
        load.stop()
        outcome = await flowing
        up.must("DELETE", "/v1/apps/web")
        await asyncio.to_thread(until, lambda: not running(own))
    failed = Counter(
        kills.window(at) or kills.window(asked)
        for (at, _), asked in zip(outcome.failures, outcome.asked, strict=True)
    )
    print(outcome.sent, failed)
    assert outcome.sent > 500
    assert failed["control"] == failed["router"] == failed["engine away"] == 0, failed
    assert failed["worker"] <= 20, outcome  # one per connection: what was in flight on it
    assert is_live <= (failed["engine back"] == 0), failed
    assert not failed[""], outcome
