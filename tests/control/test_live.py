"""Streams of events: who listens costs nobody else his turn."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from control.api.live import Live, Wish
from control.model.kinds import AppName
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.store import Store
from tests.control.support import ALICE, changes_of
from tests.support.builders import a_body

PAGES = 40


async def test_others_have_a_turn_between_two_pages_that_are_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "control.db")
    changes, publisher = changes_of(store), Publisher(store, "localhost", lease_s=60)
    changes.put(ALICE, AppName("shop"), a_body("v1", image="endpoint:127.0.0.1:1"))
    live = Live(changes, publisher, Quarantine(store, publisher))
    store.watch(live.changed)
    turn = 0

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with contextlib.AsyncExitStack() as stack:
        wishes = [Wish(limit=n + 1) for n in range(PAGES)]
        listeners = [stack.enter_context(live.listening(wish, "")) for wish in wishes]
        for listener in listeners:
            await listener.next(10)
        running = asyncio.create_task(others())

        async def told_at(n: int) -> int:
            await listeners[n].next(10)
            return turn

        waiting = [asyncio.create_task(told_at(n)) for n in range(PAGES)]
        changes.put(ALICE, AppName("shop"), a_body("v2", image="endpoint:127.0.0.1:2"))
        turns = await asyncio.gather(*waiting)
        running.cancel()
    assert len(set(turns)) > PAGES / 2
    store.close()
