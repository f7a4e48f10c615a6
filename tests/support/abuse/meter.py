"""What the kernel knows of a process: memory, descriptors, how long it was kept from running."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory in MiB: now, and its peak since `forget_peak`."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return tuple(int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def forget_peak(pid: int) -> None:
    """The peak of memory starts again at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def is_stopped(pid: int) -> bool:
    """Whether a process has stopped, or has ended; a signal takes a moment to arrive."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "TtZX"
    except OSError:
        return True


def cpu_s(pid: int) -> float:
    """CPU time that the first thread of a process has had."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def waited_s(pid: int) -> float:
    """How long a process was ready to run and did not: other processes had the cores."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:  # it has ended
        return 0.0


def sockets(pid: int) -> set[int]:
    """The inodes of a process's sockets."""
    found: set[int] = set()
    try:
        entries = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has ended
        return found
    for entry in entries:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def established(port: int) -> int:
    """How many open connections lead to a port of this machine."""
    return sum(row["state"] == b"01" for row in _connections(port))


def client_ports(pid: int, port: int) -> set[int]:
    """The ports of the clients whose connections to `port` a process has accepted."""
    ours = sockets(pid)
    return {int(r["remote"], 16) for r in _connections(port) if int(r["inode"]) in ours} - {0}


def accepted_by(workers: list[int], port: int, client_port: int) -> int:
    """Which of the workers has accepted a client's connection; 0 when none has."""
    inodes = {int(r["inode"]) for r in _connections(port, f"{client_port:04X}")}
    return next((pid for pid in workers if inodes & sockets(pid)), 0)


def _connections(port: int, remote: str = "[0-9A-F]{4}") -> Iterator[re.Match[bytes]]:
    """The rows of /proc/net/tcp that lead to a port.

    It has thousands while connections come and go, so they are not split in Python.
    """
    row = (
        rf"^ *\d+: [0-9A-F]{{8}}:{port:04X} [0-9A-F]{{8}}:(?P<remote>{remote}) "
        r"(?P<state>[0-9A-F]{2}) (?:\S+ +){5}(?P<inode>\d+)"
    )
    return re.finditer(row.encode(), Path("/proc/net/tcp").read_bytes(), re.MULTILINE)
