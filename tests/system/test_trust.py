"""The control plane under attack: killed at every write, without disk, locked out, hammered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import shutil
import sqlite3
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.turnout import TURNOUT, Turnout, marked, provisioned, routes, template, until
from tests.system.test_crash import APP, a_control, clean_up, put, replica_processes

ENDPOINT = {
    "configuration": {"activeRevisionsMode": "multiple", "ingress": {"targetPort": 80}},
    "template": {"containers": [{"image": "endpoint:127.0.0.1:1"}]},
}


# --- killed at every write

APART = 17  # writes between two kills; there are about 130


class Doomed(Turnout):
    """A control plane that is killed before its Nth write to the log of the database.

    A commit is some of them: one is killed within transactions, and between them.
    """

    def __init__(self, state: Path, write: int) -> None:
        self.write, self.log = write, state / "control.db-wal"
        super().__init__("control", admin="127.0.0.1:0", state=state)

    def _command(self) -> list[str]:
        inject = f"inject=pwrite64:signal=SIGKILL:when={self.write}"
        # -I2: strace passes on the signal that stops it.
        return ["strace", "-I2", "-qq", "-o", "/dev/null", "-P", str(self.log),
                "-e", "trace=pwrite64", "-e", inject, *TURNOUT, *self.args]  # fmt: skip


def survive(state: Path, write: int) -> bool:
    """Two deploys with a kill at a write; True when there were fewer writes than that."""
    acknowledged: list[str] = []
    was_alive = False
    folder = state / str(write)
    doomed = Doomed(folder, write)
    died = (AssertionError, urllib.error.URLError, ConnectionError, OSError)
    with contextlib.suppress(*died):
        doomed.wait_ready()
        for suffix in ("v1", "v2"):
            put(doomed, suffix, 1)
            acknowledged.append(f"{APP}--{suffix}")
            provisioned(doomed, f"{APP}--{suffix}")
        until(lambda: routes(doomed)[APP] == {f"{APP}--v2": 1})
        until(lambda: len(replica_processes(state)) == 1)
        was_alive = True
    if not was_alive:
        doomed.process.wait(10)  # strace ends a moment after what it killed
    doomed.stop()
    with Turnout("control", admin="127.0.0.1:0", state=folder) as again:
        status, answer = again.call("GET", f"/v1/apps/{APP}/revisions")
        names = {r["name"] for r in answer["value"]} if status == 200 else set()
        assert names >= set(acknowledged), f"a kill at write {write} lost a change"
        for suffix in ("v1", "v2"):
            if f"{APP}--{suffix}" not in names:
                put(again, suffix, 1)
                provisioned(again, f"{APP}--{suffix}")
        until(lambda: routes(again)[APP] == {f"{APP}--v2": 1})
        until(lambda: len(replica_processes(state)) == 1)
        records = again.must("GET", "/v1/journal")["value"]
        numbers = [r["number"] for r in records if r["who"] != "turnout"]
        assert len(numbers) == len(set(numbers)) == 2, (
            f"a kill at write {write} journalled {numbers}"
        )
        clean_up(again, state)
    return was_alive


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_kill_at_any_write_loses_nothing_and_doubles_nothing(state: Path) -> None:
    """Every seventeenth, from a random one on; over some runs that is every one."""
    write = random.randrange(1, APART + 1)
    print(f"from write {write}")
    while not survive(state, write):
        write += APART
    assert write > 3 * APART, "the kill never came"


# --- the store fails


@pytest.fixture
def up(state: Path) -> Iterator[Turnout]:
    flags = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
    with Turnout("up", state=state / "s", **flags) as up:
        up.must("PUT", f"/v1/apps/{APP}", {"template": template("v1")} | {
            "configuration": {"ingress": {}}})  # fmt: skip
        provisioned(up, f"{APP}--v1")
        until(lambda: up.get(f"{APP}.localhost")[0] == 200)
        yield up


def refused(server: Turnout) -> str:
    """A write that cannot be recorded; the answer's sentence."""
    patch = {"configuration": {"maxInactiveRevisions": 7}}
    status, answer = server.call("PATCH", f"/v1/apps/{APP}", patch)
    assert (status, answer["error"]["code"]) == (503, "StoreUnavailable"), answer
    shown = server.must("GET", f"/v1/apps/{APP}")
    assert shown["configuration"]["maxInactiveRevisions"] == 100
    assert server.get(f"{APP}.localhost")[0] == 200
    return str(answer["error"]["message"])


def accepted(server: Turnout) -> None:
    patch = {"configuration": {"maxInactiveRevisions": 7}}
    server.must("PATCH", f"/v1/apps/{APP}", patch)


def test_a_locked_database_is_said_and_everything_is_served_on(up: Turnout, state: Path) -> None:
    other = sqlite3.connect(state / "s" / "control.db")
    other.execute("BEGIN IMMEDIATE")
    assert "locked" in refused(up)
    other.execute("ROLLBACK")
    other.close()
    accepted(up)


def test_a_full_disk_is_said_and_everything_is_served_on(up: Turnout, state: Path) -> None:
    control = next(
        pid for pid in marked(state, also=b"TURNOUT_SYNC=") if b"control" in
        Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    )  # fmt: skip
    size = (state / "s" / "control.db-wal").stat().st_size
    before = resource.prlimit(control, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    assert "nothing was changed" in refused(up)
    resource.prlimit(control, resource.RLIMIT_FSIZE, before)
    accepted(up)


def test_a_corrupted_database_is_an_error_at_the_start_that_says_what_to_do(state: Path) -> None:
    (state / "s").mkdir()
    (state / "s" / "control.db").write_bytes(b"not a database, and long enough to be read" * 99)
    done = subprocess.run(
        [*TURNOUT, "control", "--admin", "127.0.0.1:0", "--state", str(state / "s")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "turnout restore FILE" in done.stderr


# --- hammered


async def hammer(control: Turnout, chance: random.Random, statuses: set[int]) -> None:
    """One client that does whatever comes to its mind to one app."""
    names = [f"{APP}--v{n}" for n in range(1, 5)]
    async with aiohttp.ClientSession(
        f"{control.server}/v1/apps/{APP}/", headers=control.authorization
    ) as session:
        for _ in range(12):
            first = chance.randrange(0, 101)
            one, other = chance.sample(names, 2)
            rules = [{"revisionName": one, "weight": first},
                     {"revisionName": other, "weight": 100 - first}]  # fmt: skip
            calls: list[tuple[str, str, Any]] = [
                ("PUT", "traffic", {"traffic": rules}),
                ("PUT", f"labels/{chance.choice('abc')}", {"revision": one}),
                ("DELETE", f"labels/{chance.choice('abc')}", None),
                ("POST", f"revisions/{one}/activate", None),
                ("POST", f"revisions/{one}/deactivate", None),
                ("PUT", "mode", {"mode": chance.choice(["single", "multiple"])}),
                ("POST", "rollback", {}),
                ("POST", "cancel", None),
            ]
            method, path, body = chance.choice(calls)
            async with session.request(method, path, json=body) as response:
                statuses.add(response.status)
                await response.read()


async def test_fifty_clients_at_one_app_break_nothing(state: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with a_control(state) as control:
        for n in range(1, 5):
            body = ENDPOINT | {"template": {**ENDPOINT["template"], "revisionSuffix": f"v{n}"}}
            control.must("PUT", f"/v1/apps/{APP}", body)
        statuses: set[int] = set()
        await asyncio.gather(
            *(hammer(control, random.Random(seed + n), statuses) for n in range(50))
        )
        assert statuses <= {200, 400, 404, 409}
        check(control)
        control.kill()
        with a_control(state) as again:  # and what is on disk is as sound
            check(again)


def check(control: Turnout) -> None:
    """What must always hold of an app, as its clients see it."""
    app = control.must("GET", f"/v1/apps/{APP}")
    revisions = control.must("GET", f"/v1/apps/{APP}/revisions")["value"]
    rules = app["configuration"]["ingress"]["traffic"]
    assert sum(rule["weight"] for rule in rules) == 100
    labels = [label for revision in revisions for label in revision["labels"]]
    assert len(labels) == len(set(labels))
    assert sum(r["trafficWeight"] for r in revisions) in (0, 100)
    if app["configuration"]["activeRevisionsMode"] == "Single":
        assert sum(r["trafficWeight"] > 0 for r in revisions if r["active"]) <= 2
    records = control.must("GET", "/v1/journal?limit=500")["value"]
    numbers = [record["number"] for record in records]
    assert numbers == sorted(numbers, reverse=True)
    assert app["version"] <= len(control.must("GET", "/v1/journal?limit=500")["value"]) or (
        len(records) == 500
    )
