"""Follows a Docker Engine's containers by its events, and by a full look now and then.

A container leaves the rotation as soon as the engine says that it is being stopped, before it is
gone. When the engine does not answer, the last good table stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
import orjson

from router.contract.check import check
from router.contract.snapshot import Snapshot
from router.process.engine import advice, engine_url
from router.process.state import write_durably
from router.sources.docker import labels, rules
from router.sources.docker.absent import Absent
from router.sources.docker.labels import Container, Replica
from router.sources.docker.probes import Probes
from router.sources.source import Reporter

log = logging.getLogger("turnout.router")

_RETRY_S = 1.0  # pause before asking a silent engine again; doubles each time
_LONGEST_RETRY_S = 15.0
# after which a container that outlived its signal is no longer taken to be leaving
_LEAVING_S = 60.0
_ENDING = frozenset({"15", "9", "2", "3", "TERM", "SIGTERM", "KILL", "SIGKILL"})
_Unreachable = (aiohttp.ClientError, OSError, TimeoutError, aiodocker.DockerError)


class DockerSource:
    """Makes tables from labelled containers."""

    heard_at = 0.0  # there is no control plane

    def __init__(
        self, url: str, domain: str, state: Path, resync_s: float, absent_s: float
    ) -> None:
        self._url = engine_url(url)
        self._domain = domain
        self._good = state / "docker-table.json"
        self._resync_s = resync_s
        self._changed = asyncio.Event()
        self._is_stale = True  # whether the engine has to be asked for all containers
        self._retry_s = _RETRY_S
        self._is_away = False
        self._containers: dict[str, Container] = {}
        self._leaving: dict[str, float] = {}  # container id to when its leaving is forgotten
        self._absent = Absent(absent_s)
        self._probes = Probes(self._changed.set)
        self._version = 0

    def hurry(self) -> None:
        """Ask the engine for all containers again."""
        self._is_stale = True
        self._changed.set()

    async def kept(self) -> None:
        """Returns at once: tables are written to disk before they are yielded."""

    async def follow(self, reporter: Reporter) -> AsyncIterator[Snapshot | str]:
        """Yield a table whenever the routes change."""
        docker = self._connect()
        events = asyncio.create_task(self._follow_events(docker))
        last: Snapshot | None = None
        try:
            while True:
                self._changed.clear()
                found: Snapshot | str | None
                if await self._refresh(docker) or last is not None:
                    found = self._table()
                # the engine has not answered yet: yield the last good table of an earlier run
                else:
                    found = self._last_good()
                if isinstance(found, Snapshot) and (last is None or _differs(found, last)):
                    last = self._numbered(found)
                    yield last
                elif isinstance(found, str):
                    yield found
                await self._wait()
        finally:
            events.cancel()
            await asyncio.gather(events, return_exceptions=True)
            await self._probes.close()
            await docker.close()

    def _connect(self) -> aiodocker.Docker:
        path = self._url.removeprefix("unix://")
        is_socket = path != self._url
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(path) if is_socket else aiohttp.TCPConnector()
        )
        timeout = aiohttp.ClientTimeout(connect=5, sock_connect=5)
        url = "unix://localhost" if is_socket else self._url
        return aiodocker.Docker(url, connector=connector, timeout=timeout)

    async def _wait(self) -> None:
        """Wait for an event, or for the next full look, in case an event was lost."""
        try:
            until_s = self._resync_s if not self._is_stale else self._retry_s
            async with asyncio.timeout(min(until_s, self._absent.next_end(time.monotonic()))):
                await self._changed.wait()
        except TimeoutError:
            self._is_stale = True

    # --- what the engine says

    async def _follow_events(self, docker: aiodocker.Docker) -> None:
        while True:
            try:
                filters = orjson.dumps({"type": ["container"]}).decode()
                subscriber = docker.events.subscribe(create_task=False)
                running = asyncio.create_task(docker.events.run(filters=filters))
                self.hurry()
                try:
                    while (event := await subscriber.get()) is not None:
                        self._hear(event)
                finally:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
            except _Unreachable as error:
                log.debug("event=events_lost reason=%r", str(error))
            await asyncio.sleep(self._retry_s)

    def _hear(self, event: dict[str, Any]) -> None:
        actor = event.get("Actor", {})
        attributes = actor.get("Attributes", {})
        if attributes.get(labels.ENABLE) != "true":
            return
        action, container = event.get("Action", ""), actor.get("ID", "")
        is_ending = action == "kill" and attributes.get("signal", "") in _ENDING
        if is_ending or action in ("stop", "die", "pause", "health_status: unhealthy"):
            self._leaving[container] = time.monotonic() + _LEAVING_S
            log.info("event=container_leaves name=%s action=%r", attributes.get("name"), action)
        elif action in ("start", "unpause", "health_status: healthy"):
            self._leaving.pop(container, None)
        self.hurry()

    async def _refresh(self, docker: aiodocker.Docker) -> bool:
        """Ask for all containers if needed; False while the engine does not answer."""
        if not self._is_stale:
            return True
        try:
            filters = {"label": [f"{labels.ENABLE}=true"]}
            listed = await docker.containers.list(filters=filters)
            found = [_container(await one.show()) for one in listed]
        except _Unreachable as error:
            self._note_away(error)
            return False
        self._note_back()
        self._containers = {container.id: container for container in found}
        self._is_stale = False
        now = time.monotonic()
        self._leaving = {c: at for c, at in self._leaving.items() if at > now}
        return True

    def _note_away(self, error: Exception) -> None:
        """Log once that the engine is away, and ask it less and less often."""
        if not self._is_away:
            why = str(error) or type(error).__name__
            log.warning(
                "event=engine_away url=%s reason=%r advice=%r", self._url, why, advice(error)
            )
        self._is_away = True
        self._retry_s = min(self._retry_s * 2, _LONGEST_RETRY_S)

    def _note_back(self) -> None:
        if self._is_away:
            log.info("event=engine_back url=%s", self._url)
        self._is_away, self._retry_s = False, _RETRY_S

    # --- what becomes of it

    def _table(self) -> Snapshot | str:
        found = [labels.read(c) for c in self._containers.values() if c.id not in self._leaving]
        problems = [problem for problem in found if isinstance(problem, str)]
        replicas = {r.container.id: r for r in found if isinstance(r, Replica)}
        asked = {
            c: r for c, r in replicas.items() if r.container.is_healthy and r.container.address
        }
        self._probes.follow(asked)
        found_apps, settled = rules.table(replicas.values(), self._probes.ready, self._domain)
        apps = self._absent.beside(found_apps, time.monotonic())
        snapshot = Snapshot(
            self._domain, apps, epoch="docker", problems=tuple(sorted([*problems, *settled]))
        )
        judged = check(orjson.loads(orjson.dumps(snapshot)))
        return judged if isinstance(judged, Snapshot) else "; ".join(map(str, judged))

    def _numbered(self, snapshot: Snapshot) -> Snapshot:
        self._version += 1
        for problem in snapshot.problems:
            log.warning("event=discovery_conflict what=%r", problem)
        numbered = Snapshot(
            snapshot.domain, snapshot.apps, self._version, snapshot.epoch, snapshot.problems
        )
        with contextlib.suppress(OSError):
            write_durably(self._good, orjson.dumps(numbered))
        return numbered

    def _last_good(self) -> Snapshot | None:
        try:
            found = check(orjson.loads(self._good.read_bytes()))
        except (OSError, orjson.JSONDecodeError):
            return None
        return found if isinstance(found, Snapshot) else None


def _differs(one: Snapshot, other: Snapshot) -> bool:
    return (one.apps, one.problems) != (other.apps, other.problems)


def _container(facts: dict[str, Any]) -> Container:
    config, state = facts["Config"], facts["State"]
    health = state.get("Health", {}).get("Status", "none")
    ports = [port.partition("/") for port in config.get("ExposedPorts") or {}]
    return Container(
        id=facts["Id"],
        name=facts["Name"].lstrip("/"),
        image=config["Image"],
        image_id=facts["Image"],
        created=_moment(facts["Created"]),
        labels=config.get("Labels") or {},
        address=_address(facts),
        ports=tuple(int(port) for port, _, kind in ports if kind in ("tcp", "")),
        is_healthy=state["Running"] and not state["Paused"] and health in ("none", "", "healthy"),
    )


def _address(facts: dict[str, Any]) -> str:
    if facts["HostConfig"].get("NetworkMode") == "host":
        return "127.0.0.1"
    networks = facts["NetworkSettings"]["Networks"] or {}
    wanted = (facts["Config"].get("Labels") or {}).get("turnout.network", "")
    chosen = [networks[wanted]] if wanted in networks else [networks[n] for n in sorted(networks)]
    return next((n["IPAddress"] for n in chosen if n.get("IPAddress")), "")


def _moment(text: str) -> float:
    """Unix time of an RFC 3339 text with nanoseconds, which Python does not parse."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
