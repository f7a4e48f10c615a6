"""Finds the ports that a container's processes listen on, to detect a wrong target port.

They are read from /proc, so only where the engine runs on this host and we may read it.
"""

from __future__ import annotations

from pathlib import Path

_LISTEN = "0A"
_ENGINES_DNS = "0B00007F"  # 127.0.0.11, which is in every container of a user-defined network


def ports(pid: int) -> set[int]:
    """Listening TCP ports in a process's network namespace; empty when unknown."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, _, port = local.partition(":")
            if state == _LISTEN and address != _ENGINES_DNS:
                found.add(int(port, 16))
    return found


def mismatch(pid: int, target: int) -> str:
    """ACA's sentence for a wrong target port; empty when the port is right or unknown."""
    found = ports(pid)
    if not found or target in found:
        return ""
    shown = ", ".join(map(str, sorted(found)))
    return f"The TargetPort {target} does not match the listening port {shown}."
