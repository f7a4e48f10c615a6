"""What of the journal is kept: by number for each app and in all, and by age."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.history import journal
from control.history.journal import Record
from control.model.resources import App, AppView, replace
from control.ops.metrics import ControlCounters
from control.ops.upkeep import keep_up
from control.settings import ControlSettings
from control.store import Store
from control.store.retention import Retention
from tests.control.support import World

DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "control.db")
    yield store
    store.close()


def record(store: Store, app: str, times: int, at: float) -> None:
    """Write records of an app that exists."""
    for n in range(times):
        old = store.view(app)
        if old.app is None:
            world = World(app)
            world.deploy(suffix="v1")
            new = world.view
        else:
            new = AppView(bumped(old), old.revisions, old.replicas)
        store.write(
            app, old, new, Record(app, "alice", f"{n}", ["x"], journal.state_of(new), at=at)
        )


def bumped(view: AppView) -> App:
    assert view.app is not None
    return replace(view.app, version=view.app.version + 1)


def delete(store: Store, app: str, at: float) -> None:
    gone = AppView(None)
    store.write(app, store.view(app), gone, Record(app, "alice", "", ["app deleted"], None, at=at))


def numbers(store: Store, app: str = "") -> list[int]:
    return [r.number for r in store.journal(app, 1 << 62, 1000)]


def test_of_each_app_the_newest_records_stay(store: Store) -> None:
    record(store, "busy", 30, at=0.0)
    record(store, "quiet", 3, at=0.0)
    gone = store.prune_journal(Retention(of_app=10, in_all=1000, days=365), now=1.0)

    assert gone == 20
    assert len(numbers(store, "busy")) == 10
    assert max(numbers(store, "busy")) == 30
    assert len(numbers(store, "quiet")) == 3  # a busy neighbour costs it nothing


def test_old_records_go_but_the_last_ten_of_an_app_that_exists_stay(store: Store) -> None:
    record(store, "old", 15, at=0.0)
    record(store, "new", 5, at=100 * DAY)
    store.prune_journal(Retention(of_app=1000, in_all=1000, days=30), now=101 * DAY)

    assert numbers(store, "old") == list(range(15, 5, -1))  # a rollback needs the last changes
    assert len(numbers(store, "new")) == 5


def test_the_records_of_a_deleted_app_go_by_age(store: Store) -> None:
    record(store, "gone", 3, at=0.0)
    delete(store, "gone", at=10 * DAY)
    store.prune_journal(Retention(of_app=1000, in_all=1000, days=30), now=35 * DAY)
    assert len(numbers(store, "gone")) == 1
    store.prune_journal(Retention(of_app=1000, in_all=1000, days=30), now=41 * DAY)
    assert numbers(store, "gone") == []


def test_in_all_the_oldest_go_first(store: Store) -> None:
    for n in range(20):
        record(store, f"app{n}", 1, at=0.0)
        delete(store, f"app{n}", at=0.0)
    record(store, "last", 3, at=0.0)
    store.prune_journal(Retention(of_app=10, in_all=8, days=365), now=1.0)

    assert len(numbers(store)) == 8
    assert len(numbers(store, "last")) == 3


def test_one_turn_deletes_a_bounded_number_and_the_next_goes_on(store: Store) -> None:
    record(store, "busy", 30, at=0.0)
    kept = Retention(of_app=10, in_all=1000, days=365, at_once=15)
    assert [store.prune_journal(kept, now=1.0) for _ in range(3)] == [15, 5, 0]


def test_numbers_are_not_used_again(store: Store) -> None:
    record(store, "shop", 3, at=0.0)
    delete(store, "shop", at=0.0)
    store.prune_journal(Retention(of_app=1, in_all=0, days=0), now=DAY)
    assert numbers(store) == []
    record(store, "shop", 1, at=0.0)
    assert numbers(store) == [5]


async def pruned_to(store: Store, most: int, file: Path) -> None:
    """Keep up with a journal until it has at most so many records."""
    settings = ControlSettings(state=file, journal_app_records=10, journal_records=10)
    task = asyncio.create_task(keep_up(store, ControlCounters(), settings))
    try:
        async with asyncio.timeout(30):
            while len(store.journal("", 1 << 62, 5000)) > most:
                assert not task.done()
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_pruning_goes_on_at_once_while_there_is_something_to_prune(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.ops.upkeep._PAUSE_S", 3600.0)
    record(store, "shop", 2000, at=time.time())
    await pruned_to(store, 10, tmp_path)


async def test_a_record_with_a_time_that_is_none_does_not_end_the_pruning(
    store: Store, tmp_path: Path
) -> None:
    record(store, "shop", 50, at=time.time())
    with sqlite3.connect(tmp_path / "control.db") as db:
        db.execute("UPDATE journal SET at = 'yesterday' WHERE number IN (3, 48)")
    db.close()
    await pruned_to(store, 10, tmp_path)
