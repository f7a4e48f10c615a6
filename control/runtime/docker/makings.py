"""Requests to make something for a replica, which the engine finishes even if nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_MOST_S = 30.0  # what an engine makes later than this is found as a stray

T = TypeVar("T")


class Makings:
    """Calls that outlive a cancelled start, so that what they make can be removed."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[Any]] = {}

    async def make(self, replica: str, call: Coroutine[Any, Any, T]) -> T:
        """The answer to the call; a start makes one thing after another."""
        task = self._under_way[replica] = asyncio.create_task(call)
        task.add_done_callback(lambda _: self._under_way.pop(replica, None))
        return await asyncio.shield(task)

    async def over(self, replica: str) -> None:
        """Wait until a cancelled start can make nothing more."""
        task = self._under_way.get(replica)
        if task is not None:
            await asyncio.wait([task], timeout=_MOST_S)

    async def close(self) -> None:
        """Stop waiting for any call."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
