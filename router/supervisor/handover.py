"""What a supervisor leaves to the code that replaces it in the same process.

An upgrade is an exec: the process id stays, and with it the children and any service manager that
watches. What an exec would lose is written to a file in memory whose descriptor survives.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field

import orjson

from router.process.children import VARIABLE as PARENT
from router.routing.reports import WorkerReport

_VARIABLE = "TURNOUT_HANDOVER"
_REHEARSAL = "TURNOUT_REHEARSAL"
_REHEARSAL_S = 30.0


@dataclass(slots=True)
class OldWorker:
    """A worker of the earlier supervisor, which serves until new workers do."""

    slot: int
    pid: int
    channel: int  # a descriptor
    unread: bytes  # bytes received of an incomplete message
    stats: WorkerReport | None = None  # its last report, which may remain its last


@dataclass(slots=True)
class Handover:
    """Descriptors and figures that the new code needs."""

    listeners: list[int]
    admin: int
    retired: WorkerReport  # counts of workers that have ended
    workers: list[OldWorker] = field(default_factory=list)
    restarts: int = 0
    # apps that the workers know, so that they can be told of removals
    apps: list[str] = field(default_factory=list)
    inherited: list[int] = field(default_factory=list)  # descriptors that every worker inherits
    lock: int = -1  # the descriptor that locks the state directory


def is_rehearsal() -> bool:
    """Whether this process only has to show that the new code can start."""
    return _REHEARSAL in os.environ


def rehearse() -> str:
    """Start the installed code once without serving; returns what is wrong with it, or nothing.

    Blocks, so call it in a thread. An exec cannot be undone, so this comes first.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    environment = {**os.environ, _REHEARSAL: "1"}
    environment.pop(PARENT, None)
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            timeout=_REHEARSAL_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def exec_with(handover: Handover) -> None:
    """Replace the running code. Does not return; raises OSError."""
    wire = {
        "listeners": handover.listeners,
        "admin": handover.admin,
        "workers": [[w.slot, w.pid, w.channel, w.unread.hex(), w.stats] for w in handover.workers],
        "retired": handover.retired,
        "restarts": handover.restarts,
        "apps": handover.apps,
        "inherited": handover.inherited,
        "lock": handover.lock,
    }
    memory = os.memfd_create("turnout-handover")
    with os.fdopen(os.dup(memory), "wb") as file:
        file.write(orjson.dumps(wire))
    os.lseek(memory, 0, os.SEEK_SET)
    channels = (w.channel for w in handover.workers)
    lock = [handover.lock] if handover.lock >= 0 else []
    for fd in (memory, handover.admin, *handover.listeners, *handover.inherited, *lock, *channels):
        os.set_inheritable(fd, True)
    if PARENT in os.environ:
        os.set_inheritable(int(os.environ[PARENT]), True)
    os.environ[_VARIABLE] = str(memory)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def received() -> Handover | None:
    """The handover of the code that ran before in this process; a second call returns None."""
    fd = os.environ.pop(_VARIABLE, None)
    if fd is None:
        return None
    with os.fdopen(int(fd), "rb") as file:
        wire = orjson.loads(file.read())
    # Older code may not have handed over inherited descriptors, a lock or last reports.
    others = [*wire.get("inherited", ()), *(fd for fd in [wire.get("lock", -1)] if fd >= 0)]
    for one in (wire["admin"], *wire["listeners"], *others, *(w[2] for w in wire["workers"])):
        os.set_inheritable(one, False)
    wire["workers"] = [
        OldWorker(s, p, c, bytes.fromhex(u), *f) for s, p, c, u, *f in wire["workers"]
    ]
    return Handover(**wire)


def give(sock: socket.socket) -> int:
    """A descriptor of the socket that stays open when the socket object is closed."""
    return os.dup(sock.fileno())
