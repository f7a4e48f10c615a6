"""Listens to an engine: that it has gone, that it is back, that somebody paused a container.

An engine that is shutting down may refuse requests for misleading reasons, and without containers
no other connection would show it. So this listens all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

import aiodocker
import aiohttp
import orjson
from aiodocker.channel import ChannelSubscriber

from control.model.kinds import ReplicaName
from control.runtime.docker import spec

log = logging.getLogger("turnout.control")

_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0  # between event streams that end although the engine is there
_Unreachable = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class Presence:
    """The presence of one engine; `on_back(was_away)` is called when it is heard again."""

    def __init__(
        self,
        owner: spec.Owner,
        on_back: Callable[[bool], Awaitable[None]],
        on_pause: Callable[[ReplicaName, bool], None],
    ) -> None:
        wanted = {"type": ["container"], "event": ["pause", "unpause"]} | owner.filters()
        self._filters = orjson.dumps(wanted).decode()
        self._on_back = on_back
        self._on_pause = on_pause
        self._missed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    def follow(self, docker: aiodocker.Docker) -> None:
        """Begin to listen to the engine."""
        self._following = asyncio.create_task(self._follow(docker))

    def missed(self) -> None:
        """Called when the engine did not answer a request."""
        self._missed.set()

    async def close(self) -> None:
        """Stop listening."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _follow(self, docker: aiodocker.Docker) -> None:
        pause_s = _RETRY_S
        while True:
            began = time.monotonic()
            await self._until_it_goes(docker)
            lasted_s = time.monotonic() - began
            was_away = not await self._is_there(docker, pause_s)
            is_short = not was_away and lasted_s < _LONGEST_RETRY_S
            pause_s = min(2 * pause_s, _LONGEST_RETRY_S) if is_short else _RETRY_S
            if was_away:
                await self._until_it_answers(docker)
            self._missed.clear()
            try:
                await self._on_back(was_away)
            except Exception:  # whatever happened, the next absence must be noticed, too
                log.exception("event=engine_back_failed")

    async def _is_there(self, docker: aiodocker.Docker, pause_s: float) -> bool:
        """Whether only the event stream has ended, as a proxy in front of the engine may end any.

        It asks now and after a pause, since an engine that shuts down still answers for a moment.
        """
        if self._missed.is_set() or not await self._answers(docker):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._missed.wait()
        return not self._missed.is_set() and await self._answers(docker)

    async def _until_it_goes(self, docker: aiodocker.Docker) -> None:
        hearing = asyncio.create_task(self._hear(docker.events.subscribe(create_task=False)))
        events = asyncio.create_task(docker.events.run(filters=self._filters))
        missed = asyncio.create_task(self._missed.wait())
        try:
            await asyncio.wait({events, missed}, return_when=asyncio.FIRST_COMPLETED)
            if events.done() and isinstance(events.exception(), aiodocker.DockerError):
                await missed  # a proxy in front of the engine forbids the event stream
        finally:
            tasks = (events, missed, hearing)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, events: ChannelSubscriber) -> None:
        while (event := await events.get()) is not None:
            replica = event.get("Actor", {}).get("Attributes", {}).get(spec.REPLICA, "")
            try:
                self._on_pause(ReplicaName(replica), event.get("Action") == "pause")
            except Exception:
                log.exception("event=pause_not_noted replica=%s", replica)

    async def _until_it_answers(self, docker: aiodocker.Docker) -> None:
        await asyncio.sleep(_RETRY_S)
        while not await self._answers(docker):
            await asyncio.sleep(_RETRY_S)

    async def _answers(self, docker: aiodocker.Docker) -> bool:
        try:
            await docker.version()
        except (aiodocker.DockerError, *_Unreachable):
            return False
        return True
