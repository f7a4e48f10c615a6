"""Newly installed code, a stuck worker, sockets of systemd: the ingress never closes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.edges import eventually
from tests.support.load import Load
from tests.support.origin import Connection, Origin
from tests.support.turnout import (
    TURNOUT,
    Turnout,
    children,
    command_of,
    environment,
    is_alive,
    provisioned,
    run,
    template,
    until,
)

ROOT = Path(__file__).parents[2]


def routes(address: str) -> str:
    return f"""
[[app]]
name = "shop"
mode = "multiple"
[[app.revision]]
name = "shop--v1"
weight = 100
endpoints = ["{address}"]
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the code, to be changed while it runs."""
    for package in ("router", "control"):
        shutil.copytree(ROOT / package, tmp_path / "code" / package)
    return tmp_path / "code"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "routes.toml"


def router(file: Path, state: Path, cwd: Path | None = None, **settings: object) -> Turnout:
    flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    return Turnout("router", *flags, "--state", str(state), cwd=cwd, workers=2, **settings)


def version(server: Turnout) -> str:
    _, text = server.call("GET", "/metrics")
    line = next(x for x in text.splitlines() if x.startswith("turnout_build_info{"))
    return line.partition('version="')[2].partition('"')[0]


def requests(server: Turnout) -> float:
    _, text = server.call("GET", "/metrics")
    name = 'turnout_requests_total{app="shop",code="200",revision="shop--v1"}'
    return sum(float(x.rpartition(" ")[2]) for x in text.splitlines() if x.startswith(name))


async def test_an_upgrade_under_load_loses_nothing(
    installed: Path, state: Path, file: Path
) -> None:
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        with await asyncio.to_thread(router(file, state, installed).__enter__) as server:
            load = Load(server.port, "shop.localhost", 300.0)
            running = asyncio.create_task(load.run())
            await eventually(lambda: load.outcome.sent >= 100)
            old = children(server.process.pid)
            init = installed / "router" / "__init__.py"
            for n in (1, 2):  # the second time, the first one's workers are still there
                text = init.read_text().replace(version(server), f"9.9.{n}")
                init.write_text(text)
                done = await asyncio.to_thread(run, "upgrade", "--state", str(state))
                assert done.returncode == 0, done.stderr
                assert f"turnout 9.9.{n} serves now" in done.stdout
                assert version(server) == f"9.9.{n}"
                assert requests(server) >= load.outcome.statuses[200] - 20  # no counter fell
            await asyncio.to_thread(until, lambda: not any(map(is_alive, old)))
            load.stop()
            outcome = await running
            assert not outcome.failures, str(outcome)
            assert outcome.sent > 100
            until(lambda: requests(server) == outcome.statuses[200])
            assert server.process.poll() is None
            assert server.stop() == 0


def many_routes(address: str) -> str:
    """A frame of more than a socket holds: half of it stays here until the worker reads on."""
    many = routes(address).replace(f'"{address}"', ", ".join(60 * [f'"{address}"']))
    return routes(address) + "".join(many.replace("shop", f"app-{n}") for n in range(400))


def upgrade_that_waits(server: Turnout, file: Path, address: str) -> int:
    """After 40 requests it waits for a worker with half a frame in its socket; the worker's pid."""
    for _ in range(40):  # of which each worker answers some
        assert server.get("shop.localhost")[0] == 200
    until(lambda: requests(server) == 40)
    stopped = children(server.process.pid)[0]
    os.kill(stopped, signal.SIGSTOP)
    server.stderr = b""
    file.write_text(many_routes(address))
    server.read_until(b"event=table_taken.*apps=401 ")
    server.stderr = b""
    server.process.send_signal(signal.SIGUSR2)
    server.read_until(b"event=upgrade_waits slot=0\n")
    return stopped


async def test_a_worker_that_was_not_reading_at_an_upgrade_hears_the_new_code(
    state: Path, file: Path
) -> None:
    """Half a frame in its socket, the rest lost: it would not understand another word."""
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        starting = router(file, state, worker_silence_s=60)
        with await asyncio.to_thread(starting.__enter__) as server:
            stopped = await asyncio.to_thread(upgrade_that_waits, server, file, origin.address)
            os.kill(stopped, signal.SIGCONT)
            await asyncio.to_thread(server.read_until, b"^ready ")
            await asyncio.to_thread(until, lambda: not is_alive(stopped))
            await asyncio.to_thread(until, lambda: requests(server) == 40)
            assert b"Traceback" not in server.stderr


async def test_a_worker_that_ends_while_an_upgrade_waits_for_it_takes_no_counts_along(
    state: Path, file: Path
) -> None:
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        starting = router(file, state, worker_silence_s=60)
        with await asyncio.to_thread(starting.__enter__) as server:
            stopped = await asyncio.to_thread(upgrade_that_waits, server, file, origin.address)
            os.kill(stopped, signal.SIGKILL)  # as the supervisor does when it waited long enough
            await asyncio.to_thread(server.read_until, b"^ready ")
            assert requests(server) == 40
            # None was started in its place that the new code cannot talk to.
            await asyncio.to_thread(until, lambda: len(children(server.process.pid)) == 2)
            assert b"Traceback" not in server.stderr


async def test_sigterm_during_an_upgrade_ends_the_router(state: Path, file: Path) -> None:
    """The code that takes over could not know of it: who sent it would wait for ever."""
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        starting = router(file, state, worker_silence_s=60)
        with await asyncio.to_thread(starting.__enter__) as server:
            stopped = children(server.process.pid)[0]
            os.kill(stopped, signal.SIGSTOP)
            server.stderr = b""
            file.write_text(many_routes(origin.address))
            await asyncio.to_thread(server.read_until, b"event=table_taken.*apps=401 ")
            server.process.send_signal(signal.SIGUSR2)
            await asyncio.to_thread(server.read_until, b"event=upgrade_waits slot=0\n")
            server.process.send_signal(signal.SIGTERM)
            os.kill(stopped, signal.SIGCONT)
            await asyncio.to_thread(until, lambda: server.process.poll() is not None)
            assert server.process.returncode == 0
            assert not is_alive(stopped)


async def test_code_that_does_not_start_is_refused_and_the_old_serves_on(
    installed: Path, state: Path, file: Path
) -> None:
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        with await asyncio.to_thread(router(file, state, installed).__enter__) as server:
            (installed / "router" / "worker" / "worker.py").write_text("this is no Python")
            done = await asyncio.to_thread(run, "upgrade", "--state", str(state))
            assert done.returncode == 1
            assert "SyntaxError" in done.stderr
            assert "the old one serves on" in done.stderr
            assert (await asyncio.to_thread(server.get, "shop.localhost"))[2] == "ok"


def test_an_upgrade_of_nothing_says_so(tmp_path: Path) -> None:
    done = run("upgrade", "--state", str(tmp_path))
    assert done.returncode == 1
    assert "no turnout runs on" in done.stderr


async def test_up_upgrades_both_halves_and_keeps_the_replicas(state: Path) -> None:
    flags = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", str(state))
    with await asyncio.to_thread(Turnout("up", *flags, workers=1).__enter__) as up:
        body = {
            "configuration": {"ingress": {"targetPort": 80}},
            "template": template("v1"),
        }
        await asyncio.to_thread(up.must, "PUT", "/v1/apps/shop", body)
        await asyncio.to_thread(provisioned, up, "shop--v1")
        # Ready is what control says; the router has it a moment later.
        await asyncio.to_thread(until, lambda: up.get("shop.localhost")[0] == 200)
        path = "/v1/apps/shop/revisions/shop--v1/replicas"
        before = up.must("GET", path)["value"][0]
        halves = {command_of(p): p for p in children(up.process.pid)}
        control = next(p for c, p in halves.items() if "-m control " in c)
        load = Load(up.port, "shop.localhost", 100.0)
        running = asyncio.create_task(load.run())
        await eventually(lambda: load.outcome.sent >= 20)
        done = await asyncio.to_thread(run, "upgrade", "--state", str(state))
        assert done.returncode == 0, done.stderr
        await asyncio.to_thread(until, lambda: not is_alive(control))
        await asyncio.to_thread(until, lambda: _readable(up, path))
        assert up.must("GET", path)["value"][0]["address"] == before["address"]
        load.stop()
        outcome = await running
        assert not outcome.failures, str(outcome)


def _readable(up: Turnout, path: str) -> bool:
    try:
        return up.call("GET", path)[0] == 200
    except OSError:
        return False


async def test_a_worker_that_is_stuck_is_replaced(state: Path, file: Path) -> None:
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        starting = router(file, state, worker_silence_s=2.5)
        with await asyncio.to_thread(starting.__enter__) as server:
            stuck = children(server.process.pid)[0]
            os.kill(stuck, signal.SIGSTOP)
            await asyncio.to_thread(until, lambda: not is_alive(stuck))
            await asyncio.to_thread(until, lambda: server.call("GET", "/readyz")[0] == 200)
            assert len(children(server.process.pid)) == 2
            await asyncio.to_thread(server.read_until, b"event=worker_silent")


async def test_sockets_of_systemd_are_used_and_it_is_told(
    tmp_path: Path, state: Path, file: Path
) -> None:
    """As systemd does it: descriptors from 3 on, LISTEN_PID, and a datagram when ready."""
    async with Origin() as origin:
        file.write_text(routes(origin.address))
        with (
            socket.create_server(("127.0.0.1", 0)) as ingress,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        ):
            notified.bind(str(tmp_path / "notify"))
            notified.settimeout(30)
            start = (
                "import os, sys; os.dup2(int(sys.argv[1]), 3); "
                "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}; "
                "os.execv(sys.argv[2], sys.argv[2:])"
            )
            fd = ingress.fileno()
            flags = ["router", "--routes", str(file), "--admin", "127.0.0.1:0"]
            process = subprocess.Popen(
                [sys.executable, "-c", start, str(fd), *TURNOUT, *flags],
                env=environment(state=state, workers=2)
                | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
                pass_fds=(fd,),
                stderr=subprocess.DEVNULL,
            )
            try:
                assert await asyncio.to_thread(notified.recv, 100) == b"READY=1"
                reader, writer = await asyncio.open_connection(*ingress.getsockname())
                writer.write(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
                assert (await reader.read()).endswith(b"ok")
                writer.close()
                process.terminate()
                assert await asyncio.to_thread(notified.recv, 100) == b"STOPPING=1"
                assert await asyncio.to_thread(process.wait, 30) == 0
            finally:
                process.kill()
                process.wait()


async def test_a_leaving_router_tells_websockets_to_come_back(state: Path, file: Path) -> None:
    async def accept(c: Connection) -> None:
        await c.head()
        await c.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await c.reader.read()

    async with Origin(accept) as origin:
        file.write_text(routes(origin.address))
        starting = router(file, state, tunnel_spread_s=0.1)
        with await asyncio.to_thread(starting.__enter__) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            server.process.terminate()
            async with asyncio.timeout(10):
                assert await reader.read() == b"\x88\x02\x03\xf4"  # Close, 1012
            writer.close()
            assert await asyncio.to_thread(server.stop) == 0
