"""How many connections the descriptors of a worker allow.

When a worker has none left, libuv accepts what waits and closes it at once, without a word to the
client or to us. So clients are kept from getting that far.
"""

from __future__ import annotations

import dataclasses
import logging
import resource

from router.contract.settings import RouterSettings

log = logging.getLogger("turnout.router")

_DEFAULT = RouterSettings.__dataclass_fields__["max_connections"].default

MOST_TURNED_AWAY = 256  # connections above the limit that are told so, and held meanwhile
_OWN = 64  # of the loop, the log, the channel, with room for what a library opens for a moment
_FOR_REPLICAS = 32  # the last ones are for the requests of clients that are here already


def connections_within(settings: RouterSettings, hard: int) -> int:
    """The connections that all workers may have when each may open `hard` descriptors.

    A client takes two, its own and one to a replica.
    """
    wanted = settings.share(settings.max_connections)
    spare = MOST_TURNED_AWAY + _OWN + settings.worker_count  # which inherit a socket of each slot
    possible = max(1, (hard - spare) // 2)
    if hard < 0 or wanted <= possible:
        return settings.max_connections
    return possible * settings.worker_count


def fitted(settings: RouterSettings) -> RouterSettings:
    """The settings with a `max_connections` that descriptors suffice for; says if it is lower."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = connections_within(settings, hard)
    if possible == settings.max_connections:
        return settings
    is_asked = settings.max_connections != _DEFAULT  # else nobody misses them
    log.log(
        logging.WARNING if is_asked else logging.INFO,
        "event=max_connections_lowered from=%d to=%d reason=%r",
        settings.max_connections,
        possible,
        f"a worker may open {hard} descriptors; raise its hard limit (ulimit -Hn, LimitNOFILE=)",
    )
    return dataclasses.replace(settings, max_connections=possible)


def last_for_clients() -> float:
    """The highest descriptor that a new client may have; the system gives out the lowest first."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft < 0 else soft - _FOR_REPLICAS
