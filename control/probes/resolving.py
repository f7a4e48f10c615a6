"""Looks up where an `endpoint:` replica is, and refuses what it may not be."""

from __future__ import annotations

import ipaddress

from control.model.targets import Targets, no_name
from router.process.names import Names


class Refused(Exception):
    """Nothing may be sent there; the message says why."""


async def allowed_addresses(names: Names, targets: Targets, host: str, app: str) -> list[str]:
    """The addresses to try for an app. Raises Refused, and OSError for a name nobody knows.

    All addresses of a name have to be allowed: routers look it up for themselves.
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
    if host.lower() == "localhost" and not all(refusals):  # it need not have both addresses
        return [address for address, why in zip(found, refusals, strict=True) if not why]
    for why in filter(None, refusals):
        raise Refused(why)
    return found
