"""Which test run a process belongs to, so that what a killed run left is ended, and nothing else.

Each process that a run starts inherits a mark in its PATH: replicas are given that and little
else. The mark names the run's own process, so anybody can see whether the run still lives. A guard
looks when the run has ended, however it did; should it be killed too, the next run looks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
_PLACE = "/turnout-test-run/"  # exists nowhere: looking for programs in it finds nothing


def begin() -> None:
    """Mark every process that is started from now on as one of this run."""
    os.environ["PATH"] += f":{_mark(os.getpid())}"


def guard() -> None:
    """Start the process that ends what this run leaves; before `begin`, or it would end itself.

    It waits for the end of a pipe that nobody but this process has.
    """
    its_end, _ours = os.pipe()  # ours stays open until this process ends
    command = [sys.executable, "-IS", str(Path(__file__)), _mark(os.getpid())]
    stdin = [(os.POSIX_SPAWN_DUP2, its_end, 0)]
    os.posix_spawn(sys.executable, command, os.environ, file_actions=stdin, setsid=True)
    os.close(its_end)


def unshare_mounts() -> None:
    """What is mounted from now on is gone with the last process of this run; only root can."""
    libc = ctypes.CDLL(None)
    if libc.unshare(_CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)


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
        is_over = _stat(int(pid))[0] in "ZX"  # whoever started it has not heard yet
        return is_over or _mark(int(pid)) != mark  # a later process has the number
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
    """What /proc/PID/stat says behind the name: state 0, parent 1, start 19."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _main(mark: str) -> None:
    sys.stdin.read()
    while not _is_of_a_dead_run(mark):  # its files are closed a moment before
        time.sleep(0.01)
    while end_dead_runs():  # and then what those have started meanwhile
        time.sleep(0.05)


if __name__ == "__main__":
    _main(sys.argv[1])
