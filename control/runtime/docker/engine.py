"""A client of a Docker Engine."""

from __future__ import annotations

import aiodocker
import aiohttp

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
