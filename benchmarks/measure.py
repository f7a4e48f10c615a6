"""One measurement: wrk on one core, the proxy on the other, CPU from the kernel's books."""

from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import HOST, Peer

LOAD_CORE = "1"
_START_S = 60.0


@dataclass(frozen=True)
class Sample:
    """What one round showed of one proxy."""

    rps: float
    cpu_us: float  # of the proxy's processes, per request
    p50_ms: float
    p99_ms: float
    rss_mib: float


def spawn(command: list[str], core: str, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start a process on one core; it ends with the stack."""
    process = subprocess.Popen(
        ["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start(peer: Peer, folder: Path, port: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start a proxy and wait until it forwards."""
    folder.mkdir(parents=True, exist_ok=True)
    program = peer.find()
    command = list(peer.prepare(folder, port))
    if peer.program and program is not None:
        command[0] = program
    process = spawn(command, peer.cores, stack)
    await_answer(port, process)
    return process


def await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until a request is answered with 200."""
    ends_at = time.monotonic() + _START_S
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": HOST})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=1) as response:
                if response.status == 200:
                    return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > ends_at:
            raise RuntimeError(f"{process.args!r} does not answer on port {port}")
        time.sleep(0.1)


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*"):
            found += [int(p) for p in (task / "children").read_text().split()]
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of a process tree so far, in nanoseconds."""
    total = 0
    for member in tree(pid):
        for task in Path(f"/proc/{member}/task").glob("*"):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of a process tree; what is shared counts in each process."""
    pages = sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def load(
    port: int, seconds: float, connections: int, path: str = "/", script: str = ""
) -> tuple[int, float, float, float]:
    """wrk: `(requests, requests/s, p50 ms, p99 ms)`. Raises RuntimeError if one failed."""
    scripted = ["-s", script] if script else []
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
         "--latency", "-H", f"Host: {HOST}", *scripted, f"http://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = done.stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    requests = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    rps = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    quantiles = {
        name: float(value) * _UNITS_MS[unit]
        for name, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", text)
    }
    return requests, rps, quantiles["50"], quantiles["99"]


def sample(
    pid: int, port: int, seconds: float, connections: int, path: str = "/", script: str = ""
) -> Sample:
    """One round against one proxy."""
    before = cpu_ns(pid)
    requests, rps, p50, p99 = load(port, seconds, connections, path, script)
    return Sample(rps, (cpu_ns(pid) - before) / requests / 1000, p50, p99, rss_mib(pid))
