"""The process runtime against real processes."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from control.model.resources import Replica, Revision
from control.model.template import Template
from control.runtime import Exit, Launch, Survivor, marks
from control.runtime.output import Outputs
from control.runtime.process import ProcessRuntime
from tests.support.turnout import is_alive

pytestmark = pytest.mark.system

# A daemon of the app's own making: another session, so no signal to the app's group reaches it.
FORKS = """
import os, subprocess, sys, time
daemon = subprocess.Popen(["setsid", "sleep", "300"])
print(daemon.pid, flush=True)
{then}
"""


class Ends:
    """The ends that a runtime reported, and a way to wait for them."""

    def __init__(self) -> None:
        self.reported: list[tuple[str, Exit]] = []

    def __call__(self, name: str, end: Exit) -> None:
        self.reported.append((name, end))


def a_launch(code: str, name: str = "shop--v1-r1", uid: str = "u1", **env: str) -> Launch:
    template = Template.model_validate(
        {
            "containers": [
                {
                    "image": "process:",
                    "command": [sys.executable, "-c", code],
                    "env": [{"name": k, "value": v} for k, v in env.items()],
                }
            ]
        }
    )
    revision = Revision("shop--v1", "shop", 1, template, 0.0, uid)
    replica = Replica(name, "shop", revision.name, 0.0, uid)
    return Launch(replica, revision, [], "shop--v1.localhost", 80, {})


@asynccontextmanager
async def a_runtime(state: Path, instance: str = "one") -> AsyncIterator[tuple[Any, Ends]]:
    ends = Ends()
    runtime = ProcessRuntime(state, instance, ends)
    started: list[Launch] = []
    start = runtime.start

    async def remembered(launch: Launch) -> Any:
        started.append(launch)
        return await start(launch)

    runtime.start = remembered  # type: ignore[method-assign]
    try:
        yield runtime, ends
    finally:
        for launch in started:
            await runtime.stop(launch.replica, 1.0)
        await runtime.close()


async def until(what: Callable[[], Any]) -> Any:
    async with asyncio.timeout(20):
        while not (found := what()):
            await asyncio.sleep(0.02)
        return found


async def first_line(runtime: ProcessRuntime, name: str = "shop--v1-r1") -> str:
    async with asyncio.timeout(20):
        async with contextlib.aclosing(runtime.follow(name, 1)) as lines:
            async for line in lines:
                return line
    raise AssertionError("it ended without a word")


async def test_an_end_that_was_asked_for_is_not_reported(tmp_path: Path) -> None:
    async with a_runtime(tmp_path) as (runtime, ends):
        launch = a_launch("import time; print('up', flush=True); time.sleep(300)")
        await runtime.start(launch)
        await first_line(runtime)

        await runtime.stop(launch.replica, 5.0)

        assert ends.reported == []


async def test_an_end_that_nobody_asked_for_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async with a_runtime(tmp_path) as (runtime, ends):
        await runtime.start(a_launch("print('no database'); raise SystemExit(3)"))

        ((name, end),) = await until(lambda: ends.reported)

        assert (name, end.code, end.tail) == ("shop--v1-r1", 3, ("no database",))


@pytest.mark.parametrize("then", ["time.sleep(300)", "raise SystemExit(3)"], ids=["stop", "crash"])
async def test_a_child_in_a_session_of_its_own_ends_with_its_app(tmp_path: Path, then: str) -> None:
    async with a_runtime(tmp_path) as (runtime, ends):
        launch = a_launch(FORKS.format(then=then))
        await runtime.start(launch)
        child = int(await first_line(runtime))
        if "sleep" in then:
            assert is_alive(child)
            await runtime.stop(launch.replica, 5.0)
        else:
            await until(lambda: ends.reported)

        assert not is_alive(child)


async def test_a_daemon_whose_app_died_unseen_is_ended_not_taken_for_it(tmp_path: Path) -> None:
    first = ProcessRuntime(tmp_path, "one", Ends())
    await first.start(a_launch(FORKS.format(then="time.sleep(300)")))
    daemon = int(await first_line(first))
    app = first._running["shop--v1-r1"].popen
    assert app is not None
    await first.close()
    app.kill()  # while nobody looks
    app.wait()

    async with a_runtime(tmp_path) as (again, _):
        assert await again.survivors() == {}
        assert not is_alive(daemon)


async def test_a_process_of_another_revision_of_that_name_is_not_adopted(tmp_path: Path) -> None:
    sleeps = "import time; time.sleep(300)"
    async with a_runtime(tmp_path) as (runtime, ends):
        old = await runtime.start(a_launch(sleeps, uid="old"))
        assert (await runtime.survivors())["shop--v1-r1"] == Survivor("old", is_running=True)

        new = await runtime.start(a_launch(sleeps, uid="new"))

        assert new.address != old.address
        assert (await runtime.survivors())["shop--v1-r1"] == Survivor("new", is_running=True)
        assert len(marks.scan("one")) == 1
        assert ends.reported == []


async def test_a_replica_gets_nothing_of_our_environment_but_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "ours")
    monkeypatch.setenv("TURNOUT_STATE", "ours")
    monkeypatch.setenv("LANG", "C.UTF-8")
    async with a_runtime(tmp_path) as (runtime, ends):
        await runtime.start(a_launch("import os; print(sorted(os.environ))", COLOR="blue"))
        await until(lambda: ends.reported)
        (line,) = await runtime.logs("shop--v1-r1", 10)

    shown = set(ast.literal_eval(line)) - {"LC_CTYPE"}  # Python sets that one itself
    own = {"NAME", "REVISION", "REPLICA_NAME", "HOSTNAME"}
    assert shown == {
        "PATH", "HOME", "LANG", "COLOR", "PORT", "TURNOUT_INSTANCE", "TURNOUT_REPLICA",
        "TURNOUT_REVISION_UID", *(f"CONTAINER_APP_{name}" for name in own),
    }  # fmt: skip


WRITES = """
import sys, time
for n in range(4000):
    print(f"line {n:05}", "x" * 500, flush=True)
    if n == 1999:
        print("half", flush=True); time.sleep(1.5)
print("last", flush=True)
time.sleep(300)
"""


async def test_output_is_bounded_while_it_is_written_and_reading_it_moves_nothing(
    tmp_path: Path,
) -> None:
    outputs = Outputs(tmp_path / "logs", max_bytes=100_000)
    with outputs.open("r") as file:
        live = outputs.path("r")
        inode = live.stat().st_ino
        for n in range(1000):
            file.write(b"line %05d %s\n" % (n, b"x" * 500))
        file.flush()
        assert outputs.tail("r", 1)[0].startswith("line 00999 ")
        assert live.stat().st_size > 500_000  # reading it is no reason to touch it

        outputs.rotate("r")
        file.write(b"after\n")
        file.flush()

        assert live.stat().st_ino == inode  # whoever writes to it goes on
        assert live.read_bytes() == b"after\n"
        assert outputs.tail("r", 2)[0].startswith("line 00999 ")
        assert live.with_suffix(".log.1").stat().st_size <= 100_000


async def test_a_process_that_writes_on_and_on_is_cut_and_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.runtime.process.MAX_BYTES", 100_000)
    async with a_runtime(tmp_path) as (runtime, _):
        await runtime.start(a_launch(WRITES))
        live = tmp_path / "logs" / "shop--v1-r1.log"
        async with asyncio.timeout(30), contextlib.aclosing(runtime.follow("shop--v1-r1", 0)) as f:
            async for line in f:
                if line == "last":
                    break
        await until(lambda: live.stat().st_size <= 100_000)
        assert live.with_suffix(".log.1").stat().st_size <= 100_000
        assert (await runtime.logs("shop--v1-r1", 1)) == ["last"]
