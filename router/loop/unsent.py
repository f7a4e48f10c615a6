"""What a peer has not taken yet of the bytes it was sent, and the end for one that takes none."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from typing import Final

_LINGER_NONE: Final = struct.pack("ii", 1, 0)
_NUMBER: Final = struct.Struct("i")


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Bytes in our buffer and in the kernel's that the peer has not acknowledged.

    Both, because the kernel takes megabytes in one go: a peer that reads slowly moves nothing of
    ours for a minute, though it moves all the time. A FIN counts as a byte (SIOCOUTQ, tcp(7)).
    """
    unsent = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError, ValueError):  # it is closed: nothing is left to take
            raw = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_NUMBER.size))
            unsent += _NUMBER.unpack(raw)[0]
    return unsent


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a reset, so that the peer cannot take what it got for everything."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()
