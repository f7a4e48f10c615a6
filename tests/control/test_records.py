"""Whatever single field of a record is damaged, it costs its own app: the rest starts and shows."""

from __future__ import annotations

import asyncio
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from control.rules import faults
from control.settings import ControlSettings
from control.store import Store
from control.wiring import ControlPlane
from router.contract.snapshot import Fault
from tests.control.support import World

VALUES: tuple[Any, ...] = (
    None,
    5,
    -1,
    1e308,
    True,
    "x",
    "",
    "a:0",
    "a:99999",
    [],
    [5],
    {},
    {"a": 5},
    {"a": [5]},
)
MODELLED = ("template", "configuration")  # a field of theirs is as much as all
LISTS = (
    "/v1/apps",
    "/v1/explain?url=http://whole.localhost/",
    "/v1/journal",
    "/metrics",
    "/healthz",
    "/subscriptions/0/resources?api-version=2021-04-01",
    "/subscriptions/0/providers/Microsoft.App/containerApps?api-version=2024-03-01",
    "/subscriptions/0/resourceGroups/local/providers/Microsoft.App/containerApps"
    "?api-version=2024-03-01",
)


def an_app(name: str) -> World:
    """One with something in most of its fields."""
    world = World(name)
    rule = {"latestRevision": True, "weight": 100, "label": "new"}
    world.deploy(suffix="v1", mode="multiple", ingress={"traffic": [rule]})
    world.settle()
    fault = Fault(until=2000.0, delay_ms=5, delay_percent=50.0, seconds=900.0)
    world.view = faults.set_fault(world.view, f"{name}--v1", fault, 1900.0, world.now)
    return world


def damaged(doc: Any, depth: int = 4) -> Iterator[Any]:
    """The document with one value replaced, wherever that is."""
    for key, value in doc.items() if isinstance(doc, dict) else enumerate(doc):
        for other in VALUES:
            if other != value or type(other) is not type(value):
                yield put(doc, key, other)
        if isinstance(value, (dict, list)) and key not in MODELLED and depth:
            for inner in damaged(value, depth - 1):
                yield put(doc, key, inner)


def put(doc: Any, key: Any, value: Any) -> Any:
    changed = doc.copy()
    changed[key] = value
    return changed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state with one whole app, and one for every way to damage a field of its like."""
    store = Store(tmp_path / "control.db")
    for name in ("whole", "bad"):
        world = an_app(name)
        store.write(name, store.view(name), world.view)
    store.close()
    with sqlite3.connect(tmp_path / "control.db") as db:
        tables = ("apps", "revisions", "replicas")
        found = {
            t: db.execute(f"SELECT name, doc FROM {t} WHERE name LIKE 'bad%'").fetchone()
            for t in tables
        }
        number = 0
        for table in tables:
            for doc in damaged(orjson.loads(found[table][1])):
                copy_as(db, f"b{number}d", found | {table: (found[table][0], orjson.dumps(doc))})
                number += 1
        assert number > 500
    db.close()
    return tmp_path / "control.db"


def copy_as(db: sqlite3.Connection, app: str, records: dict[str, tuple[str, bytes]]) -> None:
    for table, (name, doc) in records.items():
        named = name.replace("bad", app, 1)
        values: tuple[Any, ...] = (named, doc.replace(b"bad", app.encode()))
        if table != "apps":
            values = (named, app, values[1])
        marks = ",".join("?" * len(values))
        db.execute(f"INSERT INTO {table} VALUES ({marks})", values)


async def test_no_field_of_a_record_keeps_the_rest_from_starting_or_showing(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ControlSettings(admin="127.0.0.1:0", state=file.parent, runtimes=("endpoint",))
    plane = ControlPlane(settings)
    loop = asyncio.create_task(asyncio.sleep(0))
    try:
        await plane.reconciler.recover()
        loop = asyncio.create_task(plane.reconciler.run())
        facts = await plane.serve()
        server = facts.partition("admin=")[2].split()[0]
        token = (file.parent / "token").read_text().strip()
        for path in LISTS:
            request = urllib.request.Request(
                f"http://{server}{path}", headers={"Authorization": f"Bearer {token}"}
            )
            answer = await asyncio.to_thread(_read, request)
            assert b"whole" in answer or "healthz" in path or "journal" in path, path
        assert not loop.done()
        assert "not_shown" not in caplog.text  # what cannot be shown has been told when it was read
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await plane.close(stop_replicas=False)


def _read(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200
        found: bytes = response.read()
    return found
