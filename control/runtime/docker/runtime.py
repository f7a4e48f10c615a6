"""Starts, adopts, watches and ends containers.

A replica's containers are found by their labels. Starting is idempotent: what runs is adopted; what
a crash left half made is removed and made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer

from control.model.errors import Invalid
from control.model.kinds import ReplicaName
from control.model.resources import Replica
from control.model.template import InitContainer, Template
from control.runtime.base import (
    IMAGE,
    Exit,
    Launch,
    OnExit,
    Started,
    StartFailed,
    Survivor,
    check_words,
)
from control.runtime.docker import engine, images, listening, spec
from control.runtime.docker.makings import Makings
from control.runtime.docker.network import Network
from control.runtime.docker.presence import Presence
from control.settings import ControlSettings
from router.process.engine import advice, engine_url

log = logging.getLogger("turnout.control")

_EVIDENCE_LINES = 5
_RETRY_S = 1.0  # pause while the engine does not answer
_LOOK_S = 3.0  # short, because a deploy waits for the answer
_Unreachable = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class DockerRuntime:
    """Runs images without a scheme of ours."""

    def __init__(
        self,
        settings: ControlSettings,
        instance: str,
        on_exit: OnExit,
        on_back: Callable[[bool], Awaitable[None]],
        on_pause: Callable[[ReplicaName, bool], None],
    ) -> None:
        self._url = engine_url(settings.docker_host)
        self._host_paths = settings.docker_host_paths
        self._owner = spec.Owner(instance, "turnout", settings.docker_publish)
        self._on_exit = on_exit
        self._client: aiodocker.Docker | None = None
        self._has_answered = False
        self._watched: dict[str, asyncio.Task[None]] = {}
        self._choice = images.Choice()
        self._makings = Makings()
        self._network = Network(self._owner.network)
        self._presence = Presence(self._owner, on_back, on_pause)

    @property
    def _is_absent(self) -> bool:
        """Whether there is not even a socket to connect to."""
        path = self._url.removeprefix("unix://")
        return path != self._url and not Path(path).exists()

    def check(self, template: Template) -> None:
        """Check that there is an engine, and that host paths are allowed. Raises Invalid."""
        check_words(template)
        if self._is_absent:
            raise Invalid(
                f"{IMAGE}: {template.containers[0].image!r} is run as a container, and there is no "
                f"Docker Engine at {self._url}; start it, set DOCKER_HOST, or use process: with a "
                "command, process:demo, or endpoint:HOST:PORT"
            )
        spec.check_host_paths(template, self._host_paths)

    async def close(self) -> None:
        """Stop watching; the containers run on."""
        await self._presence.close()
        await self._makings.close()
        tasks = list(self._watched.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            # the client does not close a connector that it was given
            await self._client.connector.close()

    @property
    def _docker(self) -> aiodocker.Docker:
        if self._client is None:
            self._client = engine.connected(self._url)
            self._presence.follow(self._client)
        return self._client

    # --- starting

    async def start(self, launch: Launch) -> Started:
        """Start a replica's containers, or adopt them. Raises StartFailed.

        Waits for an engine that was there before: its absence is not the replica's failure.
        """
        away = ""
        while True:
            try:
                started = await self._start(launch)
                if away:
                    launch.progress("")
                return started
            except StartFailed:
                await self._clean(launch.replica.name)
                raise
            except aiodocker.DockerError as error:
                if error.status != engine.UNREACHED:
                    await self._clean(launch.replica.name)
                    said = error.message.rstrip(".")
                    raise StartFailed("ContainerCreateFailed", f"{said}.") from None
                away = self._missed(error)
            except _Unreachable as error:
                away = self._missed(error)
            launch.progress(away)
            await asyncio.sleep(_RETRY_S)

    def _missed(self, error: Exception) -> str:
        """A sentence about the absent engine. Raises StartFailed if it has never been there."""
        self._presence.missed()
        why = f"({engine.cause(error)}); {advice(error)}"
        away = f"the Docker Engine at {self._url} does not answer {why}."
        if not self._has_answered:
            raise StartFailed("EngineUnavailable", away) from None
        return away

    async def _start(self, launch: Launch) -> Started:
        running = await self._running(launch.replica, len(launch.revision.template.containers))
        self._has_answered = True
        if running is not None:
            return self._started(launch, running)
        self._unwatch(launch.replica.name)
        await self._remove(launch.replica.name)
        await self._network.ensure(self._docker)
        template = launch.revision.template
        found = await self._choice.of(self._docker, spec.images(template), launch)
        await self._make_volumes(launch)
        for init in template.init_containers:
            await self._run_to_its_end(launch, init, found)
        main, *others = template.containers
        first = await self._create(launch, main, "main", found)
        await first.start()
        sides = [await self._create(launch, c, "side", found, first.id) for c in others]
        for side in sides:
            await side.start()
        self._watch(launch.replica.name, [first, *sides])
        return self._started(launch, await first.show())

    async def _running(self, replica: Replica, wanted: int) -> dict[str, Any] | None:
        """The main container, if all containers run and have the replica's code; else None."""
        found = await self._list(replica.name, states=["running"])
        shown = [await container.show() for container in found]
        main = spec.main_of(shown, replica, wanted)
        if main is not None and replica.name not in self._watched:
            self._watch(replica.name, found)
        return main

    def _started(self, launch: Launch, shown: dict[str, Any]) -> Started:
        target, *others = (launch.target_port, *spec.probe_ports(launch))
        try:
            address = spec.address_of(shown, target, self._owner)
            ports = {str(port): spec.address_of(shown, port, self._owner) for port in others}
        except LookupError:  # it ended before it could be inspected; the watch reports why
            return Started("127.0.0.1:1")
        return Started(address, ports)

    async def _create(
        self,
        launch: Launch,
        container: InitContainer,
        role: str,
        found: Mapping[str, images.Found],
        main_id: str = "",
    ) -> DockerContainer:
        reference = found[spec.image_of(container.image)].reference
        config = spec.config_of(launch, container, role, self._owner, main_id, reference)
        name = spec.container_name(launch.replica.name, container.name, is_main=role == "main")
        making = self._docker.containers.create(config, name=name)
        made = await self._makings.make(launch.replica.name, making)
        volumes = {v.name: v for v in launch.revision.template.volumes}
        for mount in container.volume_mounts:
            volume = volumes[mount.volume_name]
            if volume.storage_type == "Secret":
                await made.put_archive(mount.mount_path, spec.secret_files(launch, volume))
        return made

    async def _run_to_its_end(
        self, launch: Launch, init: InitContainer, found: Mapping[str, images.Found]
    ) -> None:
        container = await self._create(launch, init, "init", found)
        await container.start()
        code = (await container.wait())["StatusCode"]
        if code:
            tail = tuple(await self._tail(container, _EVIDENCE_LINES))
            raise StartFailed("InitContainerFailed", Exit(code, tail).sentence(init.name))

    async def _make_volumes(self, launch: Launch) -> None:
        for volume in launch.revision.template.volumes:
            if volume.storage_type != "HostPath":
                name = spec.volume_name(launch.replica.name, volume)
                labels = self._owner.labels(launch.replica)
                making = self._docker.volumes.create({"Name": name, "Labels": labels})
                await self._makings.make(launch.replica.name, making)

    # --- watching

    def _watch(self, replica: str, containers: list[DockerContainer]) -> None:
        self._watched[replica] = asyncio.create_task(self._until_one_ends(replica, containers))

    async def _until_one_ends(self, replica: str, containers: list[DockerContainer]) -> None:
        """Wait until one container ends, and with it the replica: end the others and report it."""
        waits = {asyncio.create_task(self._ended(c)): c for c in containers}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            end = next(iter(done)).result()
            for container in containers:
                with contextlib.suppress(aiodocker.DockerError, *_Unreachable):
                    await container.kill()
        finally:
            for task in waits:
                task.cancel()
        if self._watched.get(replica) is asyncio.current_task():  # otherwise we ended it ourselves
            del self._watched[replica]
            self._on_exit(ReplicaName(replica), end)

    async def _ended(self, container: DockerContainer) -> Exit:
        """How a container ended; waits for an engine that is away for a while."""
        while True:
            try:
                await container.wait()
                shown = await container.show()
                break
            except (aiodocker.DockerError, *_Unreachable) as error:
                if getattr(error, "status", 0) in engine.GONE:
                    return Exit(None, is_removed=True)
            await asyncio.sleep(_RETRY_S)
        state, host = shown["State"], shown["HostConfig"]
        return Exit(
            state["ExitCode"],
            tuple(await self._tail(container, _EVIDENCE_LINES)),
            container=shown["Config"]["Labels"].get(spec.CONTAINER, ""),
            is_out_of_memory=bool(state.get("OOMKilled")),
            limit=f"{host['Memory'] >> 20}Mi" if host.get("Memory") else "",
        )

    async def images(self, template: Template) -> dict[str, str]:
        """The present id of each image; empty when the engine does not answer at once."""
        if not self._is_absent:
            with contextlib.suppress(aiodocker.DockerError, *_Unreachable):
                async with asyncio.timeout(_LOOK_S):
                    return await images.ids(self._docker, spec.images(template))
        return {}

    async def hint(self, replica: Replica) -> str:
        """The likely reason why a running replica does not answer."""
        try:
            shown = [await c.show() for c in await self._list(replica.name, states=["running"])]
        except (aiodocker.DockerError, *_Unreachable):
            return ""
        pids = [s["State"]["Pid"] for s in shown if s["State"].get("Pid")]
        target = int(replica.address.rpartition(":")[2])
        return listening.mismatch(pids[0], target) if pids else ""

    # --- ending

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """Send TERM, wait, KILL, and remove everything; waits for an engine that is away.

        Its start may have been cancelled at any point.
        """
        self._unwatch(replica.name)
        await self._makings.over(replica.name)
        while True:
            try:
                for container in await self._list(replica.name, states=["running"]):
                    await container.stop(t=int(grace_s))
                await self._remove(replica.name)
                return
            except aiodocker.DockerError as error:
                log.warning("event=stop_failed replica=%s reason=%r", replica.name, error.message)
            except _Unreachable:
                pass
            await asyncio.sleep(_RETRY_S)

    def _unwatch(self, replica: str) -> None:
        """Stop watching: containers that end from now on were asked to."""
        watch = self._watched.pop(replica, None)
        if watch is not None:
            watch.cancel()

    async def _clean(self, replica: str) -> None:
        self._unwatch(replica)
        with contextlib.suppress(aiodocker.DockerError, *_Unreachable):
            await self._remove(replica)

    async def _remove(self, replica: str) -> None:
        """Remove the replica's containers and volumes, running or not."""
        filters = self._owner.filters(replica)
        await engine.remove_containers(self._docker, filters)
        await engine.remove_volumes(self._docker, filters)

    # --- finding

    async def survivors(self) -> dict[ReplicaName, Survivor] | None:
        """Replicas that have containers, and whether the main one runs."""
        if self._is_absent:
            return {}
        try:
            found = await self._list()
            shown = [await container.show() for container in found]
        except (aiodocker.DockerError, *_Unreachable) as error:
            log.warning(
                "event=engine_away url=%s reason=%r advice=%r", self._url, str(error), advice(error)
            )
            self._presence.missed()
            return None
        running: dict[str, list[DockerContainer]] = {}
        alive: dict[ReplicaName, Survivor] = {}
        images_of: dict[str, dict[str, str]] = {}
        for container, facts in zip(found, shown, strict=True):
            labels, is_running = facts["Config"]["Labels"], facts["State"]["Running"]
            name = ReplicaName(labels[spec.REPLICA])
            is_main = labels.get(spec.ROLE) == "main"
            if name not in alive or (is_main and is_running):
                is_paused = bool(facts["State"].get("Paused"))
                uid = labels.get(spec.UID, "")
                made_of = images_of.setdefault(name, {})
                alive[name] = Survivor(uid, is_main and is_running, is_paused, made_of)
            # otherwise its tag had moved on
            if (image := facts["Config"]["Image"]) != facts["Image"]:
                images_of.setdefault(name, {})[image] = facts["Image"]
            if is_running:
                running.setdefault(name, []).append(container)
        for name, survivor in alive.items():
            if survivor.is_running and name not in self._watched:
                self._watch(name, running[name])
        return alive

    async def _list(
        self, replica: str = "", states: list[str] | None = None
    ) -> list[DockerContainer]:
        filters = self._owner.filters(replica) | ({"status": states} if states else {})
        return await self._docker.containers.list(all=True, filters=filters)

    # --- logs

    async def logs(self, replica: str, tail: int, container: str = "") -> list[str]:
        """The last lines of a container's output; of the main one if none is named."""
        try:
            found = await self._find(replica, container)
            return await self._tail(found, tail) if found is not None else []
        except (aiodocker.DockerError, *_Unreachable):
            return []

    async def follow(self, replica: str, tail: int, container: str = "") -> AsyncIterator[str]:
        """The last lines of the output, then new lines until the container ends."""
        try:
            found = await self._find(replica, container)
            if found is None:
                return
            async for line in found.log(stdout=True, stderr=True, follow=True, tail=tail):
                yield line.rstrip("\n")
        except (aiodocker.DockerError, *_Unreachable):
            return

    async def _find(self, replica: str, name: str) -> DockerContainer | None:
        key, wanted = (spec.CONTAINER, name) if name else (spec.ROLE, "main")
        for container in await self._list(replica):
            if (await container.show())["Config"]["Labels"].get(key) == wanted:
                return container
        return None

    async def _tail(self, container: DockerContainer, tail: int) -> list[str]:
        with contextlib.suppress(aiodocker.DockerError, *_Unreachable):
            lines = await container.log(stdout=True, stderr=True, tail=tail)
            return "".join(lines).splitlines()
        return []

    def forget(self, replica: str) -> None:
        """Does nothing: `stop` has removed everything."""
