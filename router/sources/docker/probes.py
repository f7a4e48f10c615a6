"""Probes containers for readiness, each at its own interval."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from router.sources.docker.labels import Replica


class Probes:
    """Knows which containers are ready, and calls `on_change` when that changes."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._tasks: dict[str, tuple[Replica, asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None
        self.ready: set[str] = set()  # container ids

    def follow(self, replicas: dict[str, Replica]) -> None:
        """Probe exactly these replicas, given by container id."""
        for container in self._tasks.keys() - replicas.keys():
            self._drop(container)
        for container, replica in replicas.items():
            known = self._tasks.get(container)
            if known is None or (known[0].address, known[0].probe) != (
                replica.address, replica.probe,
            ):  # fmt: skip
                self._drop(container)
                task = asyncio.create_task(self._probe(container, replica))
                self._tasks[container] = (replica, task)

    def _drop(self, container: str) -> None:
        known = self._tasks.pop(container, None)
        if known is not None:
            known[1].cancel()
        self.ready.discard(container)

    async def close(self) -> None:
        """Stop all probes."""
        tasks = [task for _, task in self._tasks.values()]
        for container in list(self._tasks):
            self._drop(container)
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _probe(self, container: str, replica: Replica) -> None:
        probe, failures = replica.probe, 0
        while True:
            is_good = await self._ask(replica)
            failures = 0 if is_good else failures + 1
            if is_good and container not in self.ready:
                self.ready.add(container)
                self._on_change()
            elif failures >= probe.failures and container in self.ready:
                self.ready.discard(container)
                self._on_change()
            # A container that is expected to become ready is asked often, so that a deploy does not
            # wait for the interval.
            is_ready = container in self.ready
            await asyncio.sleep(probe.interval_s if is_ready else min(0.25, probe.interval_s))

    async def _ask(self, replica: Replica) -> bool:
        host, _, port = replica.address.rpartition(":")
        try:
            async with asyncio.timeout(replica.probe.timeout_s):
                if replica.probe.path:
                    return await self._get(f"http://{replica.address}{replica.probe.path}")
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return True
        except (OSError, TimeoutError, aiohttp.ClientError):
            return False

    async def _get(self, url: str) -> bool:
        if self._session is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        async with self._session.get(url, allow_redirects=False) as response:
            return 200 <= response.status <= 399
