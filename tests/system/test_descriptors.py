"""Clients alone cannot use up a worker's descriptors; it would drop them without a word."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tests.support.origin import OK, Connection, Origin
from tests.support.turnout import TURNOUT, Turnout

DESCRIPTORS = 800
CLIENTS = 900
PLACES = 239  # two descriptors each, without those that a worker needs for itself
ROUTES = """
[[app]]
name = "shop"
mode = "multiple"
[[app.revision]]
name = "shop--v1"
weight = 100
endpoints = ["{address}"]
"""


class Limited(Turnout):
    """With few descriptors, and no right to more."""

    def _command(self) -> list[str]:
        return ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *TURNOUT, *self.args]


async def ask(port: int, writers: list[asyncio.StreamWriter]) -> str:
    """What becomes of a client that asks at once: a status, reset, or dropped without a word.

    It leaves its connection open, in `writers`.
    """
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(30):
            answer = await reader.read()
    except ConnectionError:
        return "reset"
    return answer[9:12].decode() or "dropped"


def accept_errors(server: Turnout) -> dict[str, float]:
    _, text = server.call("GET", "/metrics")
    name = "turnout_accept_errors_total"
    lines = [line for line in text.splitlines() if line.startswith(name + "{")]
    return {line.split('"')[1]: float(line.split()[1]) for line in lines}


async def test_too_many_clients_are_refused_and_those_within_are_served(state: Path) -> None:
    async def slow(connection: Connection) -> None:
        while True:
            await connection.head()
            await asyncio.sleep(2)  # so that all are there at the same time
            await connection.send(OK)

    async with Origin(slow) as origin:
        file = state / "routes.toml"
        file.write_text(ROUTES.format(address=origin.address))
        flags = ("--routes", str(file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        starting = Limited("router", *flags, state=state / "s", workers=1)
        with await asyncio.to_thread(starting.__enter__) as server:
            assert server.stderr.count(b"event=max_connections_lowered ") == 1
            assert b"from=20000 to=239 " in server.stderr
            assert await asyncio.to_thread(accept_errors, server) == {
                "descriptors": 0,
                "unanswered": 0,
            }
            writers: list[asyncio.StreamWriter] = []
            asking = (ask(server.port, writers) for _ in range(CLIENTS))
            seen = Counter(await asyncio.gather(*asking))
            for writer in writers:
                writer.close()

            assert seen["200"] == PLACES
            assert seen["503"] >= 256  # told why, as far as there is room to
            assert seen["reset"] == CLIENTS - PLACES - seen["503"]
            counted = await asyncio.to_thread(accept_errors, server)
            assert counted == {"descriptors": 0, "unanswered": seen["reset"]}
            assert await ask(server.port, writers) == "200"  # and it is over with them
            writers[-1].close()
