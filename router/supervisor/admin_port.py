"""The admin server as the supervisor sees it, a protocol that imports no HTTP code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket


class AdminPort(Protocol):
    """An admin server that the supervisor starts and ends."""

    @property
    def address(self) -> str:
        """The bound address as HOST:PORT."""

    @property
    def listener(self) -> socket.socket:
        """The listening socket."""

    async def start(self, listener: socket.socket | None = None) -> None:
        """Begin to serve, on `listener` if one was handed over."""

    async def close(self) -> None:
        """Stop serving."""
