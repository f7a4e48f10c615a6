"""What the supervisor asks of the admin server. It does not import it: aiohttp costs memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket


class AdminPort(Protocol):
    """The admin server, as far as the supervisor starts and ends it."""

    @property
    def address(self) -> str:
        """HOST:PORT as bound."""

    @property
    def listener(self) -> socket.socket:
        """Its listening socket."""

    async def start(self, listener: socket.socket | None = None) -> None:
        """Serve, on a socket that was handed over if there is one."""

    async def close(self) -> None:
        """Stop serving."""
