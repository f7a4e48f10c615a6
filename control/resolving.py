"""Looks up where an `endpoint:` replica is, and refuses what it may not be."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from control.targets import Targets, no_name


class Refused(Exception):
    """Nothing may be sent there; the message says why."""


async def allowed_addresses(targets: Targets, host: str, port: int) -> list[str]:
    """The addresses to try. Raises Refused, and OSError for a name nobody knows.

    All addresses of a name have to be allowed: routers look it up for themselves.
    """
    if why := targets.refusal(host):
        raise Refused(why)
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise Refused(no_name(host)) from None
    found = [str(info[4][0]) for info in infos]
    for address in found:
        if why := targets.of_address(ipaddress.ip_address(address.partition("%")[0]), host):
            raise Refused(why)
    return found
