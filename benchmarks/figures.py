"""Figures that are no requests per second: `python -m benchmarks.figures`.

Memory of idle clients and slow readers, what a table swap holds a worker up, latency added at an
open-loop rate, WebSocket messages. Each is printed with how it was taken.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import measure, peers
from benchmarks.peers import HOST, ORIGIN_PORTS
from router.contract.snapshot import App, Endpoint, Revision
from router.routing.replicas import ReplicaRegistry
from router.routing.stats import WorkerStats
from router.routing.table import EMPTY, Compiler, RoutingTable
from router.worker.worker import GC_THRESHOLD

_PORT = 9301
_REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: figures\r\n\r\n".encode()
_FRAME = (
    100  # apps that a worker compiles in one turn of its loop (router/supervisor/worker_handle.py)
)
console = Console(width=110, highlight=False)


def main() -> None:
    """Everything, one after the other."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    swaps()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="turnout-figures-")))
        measure.spawn(list(peers.origin(folder)), measure.LOAD_CORE, stack)
        process = measure.start(peers.PEERS[0], folder / "turnout", _PORT, stack)
        worker = measure.tree(process.pid)[-1]
        uvloop.run(idle_clients(worker))  # first: memory that others have used would hide it
        uvloop.run(slow_readers(worker))
        latency(folder)
    for name in ("turnout", "Envoy"):
        peer = next(p for p in peers.PEERS if p.name == name)
        if peer.find() is not None:
            uvloop.run(websockets(peer))


# --- table swaps


def _app(n: int) -> App:
    name = f"app-{n}"
    revisions = tuple(
        Revision(f"{name}--v{i}", weight, (), tuple(Endpoint(f"{n}-{i}-{j}", f"10.0.{i}.{j}:80")
                                                    for j in range(3)))
        for i, weight in ((1, 80), (2, 20))
    )  # fmt: skip
    return App(name, "multiple", (), revisions)


def swaps() -> None:
    """The longest turn of a worker's loop while it takes a table."""
    gc.set_threshold(*GC_THRESHOLD)  # as in a worker
    for n in (1_000, 10_000):
        compiler = Compiler(ReplicaRegistry(), WorkerStats())
        apps = [_app(i) for i in range(n)]
        turns, table = _swap(compiler, EMPTY, apps)
        console.print(f"table of {n:,} apps, all new: longest turn {turns:.1f} ms")
        turns, _ = _swap(compiler, table, apps[:1])
        console.print(f"one changed app in {n:,}: longest turn {turns:.1f} ms")


def _swap(compiler: Compiler, old: RoutingTable, apps: list[App]) -> tuple[float, RoutingTable]:
    longest, staged = 0.0, []
    for at in range(0, len(apps), _FRAME):
        began = time.perf_counter()
        staged += [compiler.app(app, "localhost") for app in apps[at : at + _FRAME]]
        gc.freeze()  # as a worker does
        longest = max(longest, time.perf_counter() - began)
    began = time.perf_counter()
    table = compiler.table(
        old, domain="localhost", version=old.version + 1, epoch="e", changed=staged
    )
    return max(longest, time.perf_counter() - began) * 1000, table


# --- latency


def latency(folder: Path) -> None:
    """h2load at half of what the replicas carry directly; through the router and without it."""
    _, rps, _, _ = measure.load(ORIGIN_PORTS[0], 2, 32)
    rate = rps / 4  # the load, the replicas and the router share two cores here
    found: dict[str, list[tuple[float, float]]] = {"direct": [], "turnout": []}
    for _ in range(3):
        for name, port in (("direct", ORIGIN_PORTS[0]), ("turnout", _PORT)):
            found[name].append(_open_loop(folder, port, rate / 32))
    p50, p99 = (
        statistics.median(t[i] - d[i] for t, d in zip(found["turnout"], found["direct"],
                                                      strict=True))
        for i in (0, 1)
    )  # fmt: skip
    console.print(
        f"added at {rate:,.0f} requests/s, open loop: p50 {p50:+.2f} ms, p99 {p99:+.2f} ms"
    )


def _open_loop(folder: Path, port: int, rate: float) -> tuple[float, float]:
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    subprocess.run(
        ["taskset", "-c", measure.LOAD_CORE, "h2load", "--h1", "-c32", "-t1", "--duration=4",
         f"--rps={max(1, round(rate))}", f"--connect-to=127.0.0.1:{port}",
         f"--log-file={log}", f"http://{HOST}:{port}/"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    times = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
    return times[len(times) // 2], times[len(times) * 99 // 100]


# --- memory


async def idle_clients(worker: int) -> None:
    """What a client that made one request and stays costs its worker."""
    n = 8_000
    before = measure.rss_mib(worker)
    clients = await _gathered(n, _ask_once)
    after = measure.rss_mib(worker)
    console.print(f"{n:,} idle clients: {(after - before) * 1024 / n:.1f} KiB each")
    clients += await _gathered(2_000, _ask_once)
    console.print(f"{len(clients):,} of them: {measure.rss_mib(worker):.0f} MiB in all")
    for _, writer in clients:
        writer.close()
    await asyncio.sleep(1)


async def slow_readers(worker: int) -> None:
    """What a client that asks for 1 MiB and reads nothing costs its worker."""
    n = 2_000
    before = measure.rss_mib(worker)
    clients = await _gathered(n, _ask_and_wait)
    await asyncio.sleep(3)
    after = measure.rss_mib(worker)
    console.print(f"{n:,} slow readers of 1 MiB: {(after - before) * 1024 / n:.0f} KiB each")
    for _, writer in clients:
        writer.transport.abort()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _gathered(n: int, connect: Callable[[], Awaitable[Connection]]) -> list[Connection]:
    found: list[Connection] = []
    for _ in range(0, n, 100):
        found += await asyncio.gather(*(connect() for _ in range(100)))
    return found


async def _ask_once() -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", _PORT)
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    return reader, writer


async def _ask_and_wait() -> Connection:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel would read for it
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", _PORT))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    writer.write(_REQUEST.replace(b"GET / ", b"GET /large "))
    return reader, writer


# --- WebSockets


async def websockets(peer: peers.Peer) -> None:
    """64-byte frames, echoed by the replicas: CPU of the proxy per message there and back."""
    servers = [
        await asyncio.start_server(_echo, "127.0.0.1", port, reuse_address=True)
        for port in ORIGIN_PORTS
    ]
    for server in servers:
        await server.start_serving()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        command = list(peer.prepare(Path(folder), _PORT + 1))
        if peer.program:
            command[0] = peer.find() or peer.program
        process = measure.spawn(command, "0", stack)
        await asyncio.to_thread(measure.await_answer, _PORT + 1, process)
        counts = [0]
        before = measure.cpu_ns(process.pid)
        ends_at = time.monotonic() + 4
        await asyncio.gather(*(_chat(_PORT + 1, ends_at, counts) for _ in range(32)))
        cpu = (measure.cpu_ns(process.pid) - before) / counts[0] / 1000
        console.print(f"WebSocket echo through {peer.name}: {cpu:.1f} us of CPU per message")
    for server in servers:
        server.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if b"pgrade: websocket" not in head:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        return
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    while data := await reader.read(4096):
        writer.write(b"\x82\x40" + data[6:70])  # unmasked; the payload is what was masked
    writer.close()


async def _chat(port: int, ends_at: float, counts: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        _REQUEST[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    while time.monotonic() < ends_at:
        writer.write(b"\x82\xc0\0\0\0\0" + b"x" * 64)
        await reader.readexactly(66)
        counts[0] += 1
    writer.close()


if __name__ == "__main__":
    main()
