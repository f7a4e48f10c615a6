"""Which test run a process belongs to, so that what a killed run left is ended, and nothing else.

Each process that a run starts inherits a mark in its PATH: replicas are given that and little
else. The mark names the run's own process, so anybody can see whether the run still lives.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path

_PLACE = "/turnout-test-run/"  # exists nowhere: looking for programs in it finds nothing


def begin() -> None:
    """Mark every process that is started from now on as one of this run."""
    os.environ["PATH"] += f":{_mark(os.getpid())}"


def end_dead_runs() -> list[int]:
    """Kill what runs left that were killed themselves; returns the ids of those processes."""
    left = family(pid for pid, mark in _marked().items() if _is_of_a_dead_run(mark))
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def family(pids: Iterable[int]) -> list[int]:
    """Processes and all their descendants: those of a container have an environment of its own."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            children.setdefault(int(_stat(pid)[1]), []).append(pid)
    found: list[int] = []
    todo = list(pids)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.append(pid)
            todo += children.get(pid, [])
    return found


def _mark(pid: int) -> str:
    # A container has pids of its own: its runs are not ours to judge, nor ours theirs.
    namespace = os.stat("/proc/self/ns/pid").st_ino
    return f"{_PLACE}{namespace}.{pid}.{_stat(pid)[19]}"


def _is_of_a_dead_run(mark: str) -> bool:
    namespace, pid, _ = mark.removeprefix(_PLACE).split(".")
    if int(namespace) != os.stat("/proc/self/ns/pid").st_ino:
        return False
    try:
        return _mark(int(pid)) != mark  # a later process has the number
    except OSError:
        return True


def _marked() -> dict[int, str]:
    """The mark of each process that has one; within a run of a test of runs, the last counts."""
    found: dict[int, str] = {}
    for pid in _pids():
        with contextlib.suppress(OSError):
            path = re.search(rb"(?:^|\0)PATH=([^\0]*)", Path(f"/proc/{pid}/environ").read_bytes())
            marks = re.findall(rf"{_PLACE}\d+\.\d+\.\d+".encode(), path[1] if path else b"")
            if marks:
                found[pid] = marks[-1].decode()
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """What /proc/PID/stat says behind the name, which may hold anything: parent 1, start 19."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
