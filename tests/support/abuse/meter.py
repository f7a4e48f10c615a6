"""What the kernel knows of a process: memory, descriptors, how long it was kept from running."""

from __future__ import annotations

import os
from pathlib import Path

_TCP_LOCAL, _TCP_REMOTE, _TCP_STATE, _TCP_INODE = 1, 2, 3, 9  # columns of /proc/net/tcp
_ESTABLISHED = "01"


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident memory in MiB: now, and its peak since `forget_peak`."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return tuple(int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def forget_peak(pid: int) -> None:
    """The peak of memory starts again at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


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
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(_port(c[_TCP_LOCAL]) == port and c[_TCP_STATE] == _ESTABLISHED for c in lines)


def client_ports(pid: int, port: int) -> set[int]:
    """The ports of the clients whose connections to `port` a process has accepted."""
    ours = sockets(pid)
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[_TCP_INODE]) in ours and _port(columns[_TCP_LOCAL]) == port:
            found.add(_port(columns[_TCP_REMOTE]))
    return found


def accepted_by(workers: list[int], port: int, client_port: int) -> int:
    """Which of the workers has accepted a client's connection; 0 when none has."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        ends = (_port(columns[_TCP_LOCAL]), _port(columns[_TCP_REMOTE]))
        if ends == (port, client_port):
            inode = int(columns[_TCP_INODE])
            return next((pid for pid in workers if inode in sockets(pid)), 0)
    return 0


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
