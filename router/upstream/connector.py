"""Opens connections to replicas, and tells a failure of the router from one of the replica."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import Final, cast

from router.contract import outcomes
from router.contract.settings import RouterSettings
from router.loop.outbox import Outbox
from router.process.addresses import is_misled, is_name
from router.process.names import Names
from router.routing.replicas import Replica, Waiting
from router.upstream.http1 import UpstreamConnection

# The router has run out of something: the replica was not even asked.
_OURS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)


class Connector:
    """Connects to replicas; each attempt can be given up by cancelling its task."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        settings: RouterSettings,
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._settings = settings
        self._names = Names()

    def connect(self, replica: Replica, waiting: Waiting) -> asyncio.Task[None]:
        """Open a connection; `waiting` hears how it went, unless the task is cancelled."""
        task = self._loop.create_task(self._connect(replica, waiting))
        replica.connecting[task] = waiting
        task.add_done_callback(replica.connecting.pop)
        return task

    async def _connect(self, replica: Replica, waiting: Waiting) -> None:
        connection = UpstreamConnection(replica, self._outbox, self._settings)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                transport = await self._open(connection, replica)
        except asyncio.CancelledError:
            connection.uncount()  # it may have been open already, and is closed in silence
            raise
        except TimeoutError:
            connection.uncount()
            waiting.connect_failed(outcomes.CONNECT_TIMEOUT)
        except (OSError, UnicodeError) as error:  # the latter for a name that DNS cannot have
            is_ours = isinstance(error, OSError) and error.errno in _OURS
            waiting.connect_failed(outcomes.OUT_OF_SOCKETS if is_ours else outcomes.CONNECT_FAILED)
        else:
            if is_name(replica.host) and is_misled(transport.get_extra_info("peername")):
                transport.abort()  # nothing has been sent; control's probes say why
                waiting.connect_failed(outcomes.CONNECT_FAILED)
            else:
                waiting.connected(connection)

    async def _open(self, connection: UpstreamConnection, replica: Replica) -> asyncio.Transport:
        """To the first address of the replica that takes it. Raises OSError and UnicodeError."""
        last = replica.host
        if is_name(last):
            *others, last = await self._names.addresses(last, replica.app)
            for at in others:
                with contextlib.suppress(OSError):
                    return await self._open_at(connection, at, replica.port)
        return await self._open_at(connection, last, replica.port)

    async def _open_at(
        self, connection: UpstreamConnection, host: str, port: int
    ) -> asyncio.Transport:
        protocol = cast(asyncio.Protocol, connection)  # by its methods: see intake.py
        transport, _ = await self._loop.create_connection(lambda: protocol, host, port)
        return transport
