"""Finds which local processes belong to which replica, by marks in their environment in /proc.

A mark exists from a process's first moment and survives fork, exec, setsid and the death of
parents. A child whose environment a program has cleared has no mark; it is still found as a
descendant while the processes between it and a marked one live. A process that overwrites its own
environment is known by what was noted at its start, if it is its replica's first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_INSTANCE = "TURNOUT_INSTANCE"  # id of the store that the replica belongs to
_REPLICA = "TURNOUT_REPLICA"
_UID = "TURNOUT_REVISION_UID"
_PPID, _START = 1, 19  # fields of /proc/PID/stat, counted after the program's name


def variables(instance: str, replica: str, uid: str) -> dict[str, str]:
    """The environment variables that mark the processes of one replica."""
    return {_INSTANCE: instance, _REPLICA: replica, _UID: uid}


@dataclass(frozen=True, slots=True)
class Marked:
    """A process that belongs to a replica."""

    pid: int
    replica: str
    uid: str  # of the revision whose code it runs
    port: str = ""
    began: int = 0  # clock ticks since boot; with the pid it tells this process from any other
    is_leader: bool = False  # whether it leads its session


class Census:
    """Looks at all processes; callers that ask at the same time share one look."""

    def __init__(self, instance: str, firsts: Callable[[], Iterable[Marked]]) -> None:
        self._instance = instance
        self._firsts = firsts
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[list[Marked]] | None = None

    async def take(self) -> list[Marked]:
        """All running processes of ours; the look begins after the call."""
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        return await asyncio.shield(self._next)

    async def of(self, replica: str) -> list[Marked]:
        """All running processes of one replica."""
        return [found for found in await self.take() if found.replica == replica]

    async def _look(self) -> list[Marked]:
        async with self._looking:
            self._next = None
            return await asyncio.to_thread(self._scan)

    def _scan(self) -> list[Marked]:
        return scan(self._instance, self._firsts())


def scan(instance: str, firsts: Iterable[Marked] = ()) -> list[Marked]:
    """Processes with a mark of this store, known first processes, and descendants of both."""
    known = {first.pid: first for first in firsts}
    wanted = f"{_INSTANCE}={instance}".encode()
    marked: dict[int, Marked] = {}
    parents: dict[int, int] = {}
    for pid in _pids():
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            fields = _stat(pid)
        except OSError:
            continue  # the process is gone, or we may not read it
        parents[pid] = int(fields[_PPID])
        if wanted in environ:
            marked[pid] = _marked(pid, environ, int(fields[_START]))
        elif pid in known and known[pid].began == int(fields[_START]):
            marked[pid] = known[pid]
    for pid in parents.keys() - marked.keys():
        owner = _owner(pid, parents, marked)
        if owner is not None:
            marked[pid] = Marked(pid, owner.replica, owner.uid)
    return sorted(marked.values(), key=lambda m: (m.began, m.pid))


def began(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if it is gone."""
    try:
        return int(_stat(pid)[_START])
    except OSError:
        return 0


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[str]:
    # The name stands in brackets and may itself hold spaces and brackets.
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _marked(pid: int, environ: bytes, began: int) -> Marked:
    values = dict(
        item.split("=", 1) for item in environ.decode(errors="replace").split("\0") if "=" in item
    )
    try:
        is_leader = os.getsid(pid) == pid
    except OSError:
        is_leader = False
    return Marked(
        pid,
        values.get(_REPLICA, ""),
        values.get(_UID, ""),
        values.get("PORT", ""),
        began,
        is_leader,
    )


def _owner(pid: int, parents: dict[int, int], marked: dict[int, Marked]) -> Marked | None:
    seen = set()
    while pid in parents and pid not in seen:
        if pid in marked:
            return marked[pid]
        seen.add(pid)
        pid = parents[pid]
    return None
