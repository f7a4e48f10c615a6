"""What is being done to replicas outside: one thing at a time for each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from control.model.kinds import AppName, ReplicaName
from control.model.resources import Replica

log = logging.getLogger("turnout.control")

_AGAIN_S = 10.0  # after an action failed in a way that nobody thought of

Action = Coroutine[None, None, None]


@dataclass(frozen=True, slots=True)
class _Busy:
    task: asyncio.Task[None]
    is_end: bool


class Actions:
    """The actions under way; `on_done` is called with a replica's app once its action is over."""

    def __init__(self, on_done: Callable[[AppName], None]) -> None:
        self._on_done = on_done
        self._busy: dict[ReplicaName, _Busy] = {}

    def do(self, replica: Replica, action: Action) -> None:
        """Begin something, unless something else is under way: the next plan asks again."""
        if replica.name in self._busy:
            action.close()
        else:
            self._begin(replica, action, is_end=False)

    def end(self, replica: Replica, action: Action) -> None:
        """Begin to end a replica; what is under way is given up, as it may never return."""
        busy = self._busy.get(replica.name)
        if busy is None:
            self._begin(replica, action, is_end=True)
        elif busy.is_end:
            action.close()
        else:
            self._begin(replica, _instead(busy.task, action), is_end=True)

    def _begin(self, replica: Replica, action: Action, *, is_end: bool) -> None:
        task = asyncio.create_task(action)
        self._busy[replica.name] = _Busy(task, is_end)
        task.add_done_callback(lambda t: self._done(replica, t))

    def _done(self, replica: Replica, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._over(replica, task)
            return
        log.error("event=action_failed replica=%s", replica.name, exc_info=task.exception())
        # The next plan asks for the same: busy for a while, or it is done at once and for ever.
        task.get_loop().call_later(_AGAIN_S, self._over, replica, task)

    def _over(self, replica: Replica, task: asyncio.Task[None]) -> None:
        busy = self._busy.get(replica.name)
        if busy is not None and busy.task is task:  # else the replica's end took its place
            del self._busy[replica.name]
            self._on_done(replica.app)

    async def close(self) -> None:
        """Give up whatever is under way."""
        tasks = [busy.task for busy in self._busy.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _instead(busy: asyncio.Task[None], action: Action) -> None:
    try:
        busy.cancel()
        await asyncio.wait([busy])
        await action
    finally:
        action.close()  # it was never begun if we are given up before
