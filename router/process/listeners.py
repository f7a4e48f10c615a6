"""Listening sockets: bound here, or handed over by systemd, a launcher or an earlier process."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from router.process.config import split_address
from router.process.state import make_private

BACKLOG = 4096
_FIRST_FD = 3  # the first descriptor of sd_listen_fds(3)
INHERITED = "TURNOUT_LISTENERS"  # set by `turnout up` for its router: the ingress descriptors


def bind_ingress(address: str, workers: int) -> list[socket.socket]:
    """One SO_REUSEPORT socket per worker: the kernel spreads connections evenly over them.

    Raises OSError.
    """
    host, port = split_address(address, "listen")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    for _ in range(workers):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            for one in (*listeners, listener):
                one.close()
            raise _not_bound(address, error, "listen") from None
        port = listener.getsockname()[1]
        listener.listen(BACKLOG)
        listener.setblocking(False)
        listeners.append(listener)
    return listeners


def check_free(address: str) -> None:
    """Raise OSError when another socket listens on an ingress address, SO_REUSEPORT or not."""
    host, port = split_address(address, "listen")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _not_bound(address, error, "listen") from None


def bind_admin(address: str, name: str = "admin") -> socket.socket:
    """Bind the admin port at HOST:PORT or unix:PATH; errors call it `name`. Raises OSError."""
    try:
        if address.startswith("unix:"):
            return _bind_unix(Path(address.removeprefix("unix:")))
        host, port = split_address(address, "admin")
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(info[0][0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(info[0][4])
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise _not_bound(address, error, name) from None
    listener.setblocking(False)
    return listener


def _not_bound(address: str, error: OSError, name: str) -> OSError:
    """An error that says why an address could not be bound, and which flag chooses another."""
    flag = f"--{name.replace('_', '-')}"
    advice = {
        errno.EADDRINUSE: f"stop what listens there, or give another with {flag}",
        errno.EACCES: f"ports below 1024 need a right: give a higher one with {flag},"
        " or let systemd open it (config/systemd)",
        errno.EADDRNOTAVAIL: f"this host has no such address: give one that it has with {flag}",
    }.get(error.errno or 0, f"give another with {flag}")
    return OSError(f"cannot listen on {address}: {error.strerror or error}; {advice}")


def _bind_unix(path: Path) -> socket.socket:
    make_private(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    os.chmod(path, 0o600)
    listener.setblocking(False)
    return listener


def activated(environ: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """The ingress sockets that systemd or a launcher made; none without them.

    The protocol is sd_listen_fds(3): the descriptors belong only to the process that LISTEN_PID
    names.
    """
    return [taken(fd) for fd in handed_over(environ)]


def handed_over(environ: Mapping[str, str] = os.environ) -> Sequence[int]:
    """The descriptors of the ingress sockets that were handed over."""
    if environ.get(INHERITED):
        return [int(fd) for fd in environ[INHERITED].split(",") if fd]
    if environ.get("LISTEN_PID") == str(os.getpid()):
        return range(_FIRST_FD, _FIRST_FD + int(environ.get("LISTEN_FDS", "0")))
    return []


def taken(fd: int) -> socket.socket:
    """The socket of a handed-over descriptor; the next exec closes it unless it is handed on."""
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)
    listener.set_inheritable(False)
    return listener


def for_workers(listeners: Sequence[socket.socket], workers: int) -> list[socket.socket]:
    """One socket for each worker; workers share sockets where there are too few."""
    return [
        listeners[i] if i < len(listeners) else listeners[i % len(listeners)].dup()
        for i in range(max(workers, len(listeners)))
    ]


def address_of(listener: socket.socket) -> str:
    """The bound address as HOST:PORT."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Tell systemd that we are ready or stopping (sd_notify(3)); does nothing without systemd."""
    path = environ.get("NOTIFY_SOCKET")
    if not path:
        return
    if path.startswith("@"):
        path = "\0" + path[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), path)
