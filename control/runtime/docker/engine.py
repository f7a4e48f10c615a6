"""A client of a Docker Engine, and what its errors mean."""

from __future__ import annotations

from collections.abc import Awaitable

import aiodocker
import aiohttp

GONE = (404, 409)  # removed, or being removed
UNREACHED = 900  # aiodocker's own, where no engine answered
_CALL_S = 30.0


def connected(url: str) -> aiodocker.Docker:
    """A client that connects when it is first used."""
    path = url.removeprefix("unix://")
    # Every watched container holds a connection, so there is no limit to them.
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(path, limit=0) if path != url else aiohttp.TCPConnector(limit=0)
    )
    timeout = aiohttp.ClientTimeout(connect=_CALL_S, sock_connect=_CALL_S)
    address = "unix://localhost" if path != url else url
    return aiodocker.Docker(address, connector=connector, timeout=timeout)


def cause(error: Exception) -> str:
    """Why an engine was not reached, in the fewest words that there are for it."""
    inner = error.__context__ if isinstance(error, aiodocker.DockerError) else error
    while isinstance(inner, aiohttp.ClientConnectorError):
        inner = inner.os_error
    return getattr(inner, "strerror", None) or str(inner or error) or type(error).__name__


async def unless_gone(call: Awaitable[object]) -> None:
    """Wait for a call about something that may not be there any more."""
    try:
        await call
    except aiodocker.DockerError as error:
        if error.status not in GONE:
            raise
