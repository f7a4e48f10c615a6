"""Which ports the processes of a container listen on: to say that the target port is wrong.

Read from /proc, so only where the engine runs on this host and we may look.
"""

from __future__ import annotations

from pathlib import Path

_LISTEN = "0A"
_ENGINES_DNS = "0B00007F"  # 127.0.0.11, in every container of a network of one's own


def ports(pid: int) -> set[int]:
    """Listening TCP ports in the network namespace of a process; empty when they are unknown."""
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
    """ACA's sentence for a wrong target port; empty when it is not wrong."""
    found = ports(pid)
    if not found or target in found:
        return ""
    shown = ", ".join(map(str, sorted(found)))
    return f"The TargetPort {target} does not match the listening port {shown}."
