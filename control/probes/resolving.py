"""Resolves the host of an `endpoint:` replica, and refuses addresses that are not allowed."""

from __future__ import annotations

import ipaddress

from control.model.targets import Targets, no_name
from router.process.names import Names


class Refused(Exception):
    """Nothing may be sent to this host; the message says why."""


async def allowed_addresses(names: Names, targets: Targets, host: str, app: str) -> list[str]:
    """The addresses to try for an app. Raises Refused, and OSError if the name does not resolve.

    All addresses of a name have to be allowed, because routers resolve it for themselves.
    """
    if why := targets.refusal(host):
        raise Refused(why)
    try:
        found = await names.addresses(host, app)
    except UnicodeError:
        raise Refused(no_name(host)) from None
    refusals = [
        targets.of_address(ipaddress.ip_address(address.partition("%")[0]), host)
        for address in found
    ]
    # localhost need not be allowed at both addresses
    if host.lower() == "localhost" and not all(refusals):
        return [address for address, why in zip(found, refusals, strict=True) if not why]
    for why in filter(None, refusals):
        raise Refused(why)
    return found
