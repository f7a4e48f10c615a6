"""A client of a Docker Engine, and what its errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import aiodocker
import aiohttp

GONE = (404, 409)  # statuses for a container that is removed or being removed
UNREACHED = 900  # aiodocker's own status when no engine answered
_CALL_S = 30.0
_REMOVALS, _REMOVAL_S = 20, 0.05  # tries, and how much longer each pause is than the one before

Filters = dict[str, list[str]]


def connected(url: str) -> aiodocker.Docker:
    """A client that connects when it is first used."""
    path = url.removeprefix("unix://")
    # Every watched container holds a connection, so their number is not limited.
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(path, limit=0) if path != url else aiohttp.TCPConnector(limit=0)
    )
    timeout = aiohttp.ClientTimeout(connect=_CALL_S, sock_connect=_CALL_S)
    address = "unix://localhost" if path != url else url
    return aiodocker.Docker(address, connector=connector, timeout=timeout)


def cause(error: Exception) -> str:
    """Why the engine was not reached, in as few words as possible."""
    inner = error.__context__ if isinstance(error, aiodocker.DockerError) else error
    while isinstance(inner, aiohttp.ClientConnectorError):
        inner = inner.os_error
    return getattr(inner, "strerror", None) or str(inner or error) or type(error).__name__


async def remove_containers(docker: aiodocker.Docker, filters: Filters) -> None:
    """Remove containers, running or not.

    The name of a container that somebody else is removing is taken until that is done, so this
    waits.
    """
    for n in range(_REMOVALS):
        found = await docker.containers.list(all=True, filters=filters)
        if not found:
            return
        await asyncio.sleep(_REMOVAL_S * n)
        for container in found:
            await _unless_gone(container.delete(force=True, v=True))


async def remove_volumes(docker: aiodocker.Docker, filters: Filters) -> None:
    """Remove volumes that no container uses any more."""
    for volume in (await docker.volumes.list(filters=filters)).get("Volumes") or []:
        await _unless_gone((await docker.volumes.get(volume["Name"])).delete())


async def _unless_gone(call: Awaitable[object]) -> None:
    try:
        await call
    except aiodocker.DockerError as error:
        if error.status not in GONE:
            raise
