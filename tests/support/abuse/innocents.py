"""Well-behaved clients beside the abusers: each request has a token that its answer must carry.

They run in a process of their own and hide nothing: an answer that does not come is lost, and
bytes of anything but the expected answer are foreign. A wait is the time from a request's first
byte to its answer's last, without the time in which the kernel ran other processes instead of
this one, the proxy's worker or the replica's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from itertools import count

import uvloop

from tests.support.abuse.echo import expected
from tests.support.abuse.meter import accepted_by, waited_s
from tests.support.abuse.processes import Beside, until_stdin_ends
from tests.support.abuse.tally import Loss, Tally
from tests.support.turnout import children

_ANSWER_S = 20.0
_UPLOAD_LINES = 200


class Foreign(Exception):
    """Bytes that belong to no answer of this request."""


class Refused(Exception):
    """Answered, but not by the replica."""


class Innocent:
    """One client, one request at a time, on a connection that it renews now and then."""

    def __init__(self, traffic: Traffic, host: str, tally: Tally) -> None:
        self._port = traffic.port
        self._host = host
        self._tally = tally
        self._proxy = traffic.proxy
        self._beside = [os.getpid(), *traffic.beside]
        self._worker: int | None = None  # that has accepted the connection; None: not known yet
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, kind: str, token: str, *, is_last: bool = False) -> None:
        """One request; `is_last` ends its connection."""
        tally = self._tally
        tally.sent += 1
        began, before = time.monotonic(), self._kept()
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await self._connection()
                sent = self._send(writer, kind, token, is_last=is_last)
                closes = await self._receive(reader, kind, token, sent)
        except Foreign as error:
            tally.foreign_bytes += len(error.args[0])
            tally.foreign_example = tally.foreign_example or repr(error.args[0][:80])
            self._lose(began, "another answer")
            self.close()
        except Refused as error:
            self._lose(began, f"refused: {error}")
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            self._lose(began, f"{type(error).__name__}: {error}")
            self.close()
        else:
            wait = time.monotonic() - began - self._kept_since(before)
            tally.waits_ms.append((round(began, 3), round(max(0.0, wait) * 1000, 1)))
            if closes or is_last:
                self.close()
            elif self._worker is None and len(workers := self._workers()) > 1:
                local_port = writer.get_extra_info("sockname")[1]
                self._worker = accepted_by(workers, self._port, local_port)

    def _workers(self) -> list[int]:
        return children(self._proxy) if self._proxy else []

    def _kept(self) -> dict[int, float]:
        """How long each process that takes part was kept from a core so far."""
        return {pid: waited_s(pid) for pid in (*self._beside, *self._workers())}

    def _kept_since(self, before: dict[int, float]) -> float:
        """The same since then; of the workers only the one that had the request counts."""
        now = self._kept()  # nothing is known of a process that has ended meanwhile
        since = {pid: max(0.0, s - before.get(pid, s)) for pid, s in now.items()}
        beside = sum(since.pop(pid) for pid in self._beside)
        if self._worker in since:
            return beside + since[self._worker]
        return beside + min(since.values(), default=0.0)  # whichever it was

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = self._reader, self._writer
        if reader is not None and reader._buffer and not reader.exception():  # type: ignore[attr-defined]
            raise Foreign(await reader.read(65536))  # nothing was asked, so whose is it?
        # An idle connection that was ended is not a loss: nothing was asked on it.
        if reader is None or writer is None or reader.at_eof() or reader.exception():
            self.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._reader, self._writer = reader, writer
        return reader, writer

    def _send(self, writer: asyncio.StreamWriter, kind: str, token: str, *, is_last: bool) -> bytes:
        is_upload = kind in ("echo", "chunks")
        body = f"{token}\n".encode() * _UPLOAD_LINES if is_upload else b""
        path = f"/{'echo' if is_upload else kind}/{token}"
        head = f"{'POST' if is_upload else 'GET'} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        head += "Connection: close\r\n" if is_last else ""
        if kind == "chunks":
            half = len(body) // 2
            parts = (b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:half], body[half:]))
            wire = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n"
        else:
            wire = b"Content-Length: %d\r\n\r\n" % len(body) + body if is_upload else b"\r\n"
        writer.write(head.encode() + wire)
        return body

    async def _receive(
        self, reader: asyncio.StreamReader, kind: str, token: str, sent: bytes
    ) -> bool:
        """Read an answer; whether the connection ends here. Raises Foreign, Refused."""
        start = await reader.readexactly(9)
        if start != b"HTTP/1.1 ":
            raise Foreign(start + await reader.read(65536))
        head = await reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        if b"content-length: " in lowered:
            size = int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
        else:
            body = b"".join([chunk async for chunk in _chunks(reader)])
        closes = b"\r\nconnection: close" in lowered
        if head[:3] != b"200":
            if closes:
                self.close()
            line = head.partition(b"\r\n")[0].decode(errors="replace")
            raise Refused(f"{line} {_code(head)}")
        wanted = expected("echo" if kind == "chunks" else kind, token, sent)
        if body != wanted or f"x-token: {token}\r\n".encode() not in lowered:
            raise Foreign(body or head)
        return closes

    def _lose(self, began: float, why: str) -> None:
        port = 0
        if self._writer is not None and (name := self._writer.get_extra_info("sockname")):
            port = name[1]
        self._tally.losses.append(Loss(began, time.monotonic(), port, why))

    def close(self) -> None:
        """End its connection."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = self._worker = None


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


def _code(head: bytes) -> str:
    """The code of an answer that turnout made itself."""
    _, _, rest = head.lower().partition(b"\r\nx-turnout-error: ")
    return rest.partition(b"\r\n")[0].decode(errors="replace")


@dataclass(frozen=True)
class Traffic:
    """How much they ask, and of whom."""

    port: int
    hosts: tuple[str, ...] = ("good.localhost",)  # the clients ask one each, by turns
    rate: float = 80.0  # requests per second, all together
    connections: int = 8
    fresh_every: int = 20  # requests after which a client opens a new connection; 0: never
    kinds: tuple[str, ...] = ("small", "echo", "small", "late", "large", "chunks")
    proxy: int = 0  # the parent of the workers
    beside: tuple[int, ...] = ()  # other processes whose waits for a core are not the proxy's fault


class Innocents:
    """The process of the well-behaved clients."""

    def __init__(self, traffic: Traffic) -> None:
        self._beside = Beside("tests.support.abuse.innocents", json.dumps(asdict(traffic)))

    async def start(self) -> Innocents:
        """Until each of them has had an answer, or none."""
        await self._beside.__aenter__()
        await self._beside.line()
        return self

    async def stop(self) -> Tally:
        """Let them finish what they asked."""
        return Tally.of(await self._beside.end())


class _Crowd:
    """All clients of one process."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._is_over = False
        self._tokens = (f"{os.getpid():x}-{n:x}" for n in count())
        self.tally = Tally()

    async def run(self) -> None:
        clients = range(self._traffic.connections)
        asking = [asyncio.create_task(self._one(number)) for number in clients]
        await asyncio.sleep(2 * self._traffic.connections / self._traffic.rate)
        os.write(1, b"under way\n")
        await until_stdin_ends()
        self._is_over = True
        await asyncio.gather(*asking)

    async def _one(self, number: int) -> None:
        traffic = self._traffic
        kinds = traffic.kinds
        host = traffic.hosts[number % len(traffic.hosts)]
        client = Innocent(traffic, host, self.tally)
        pause = traffic.connections / traffic.rate
        due = time.monotonic() + number / traffic.rate
        asked = number  # not all renew their connection at once
        while not self._is_over:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic() - pause)  # what was missed is not made up for
            asked += 1
            is_last = bool(traffic.fresh_every) and asked % traffic.fresh_every == 0
            await client.ask(kinds[asked % len(kinds)], next(self._tokens), is_last=is_last)
        client.close()


async def _main() -> None:
    found = json.loads(sys.argv[1])
    crowd = _Crowd(Traffic(**found))
    await crowd.run()
    os.write(1, json.dumps(asdict(crowd.tally)).encode())


if __name__ == "__main__":
    uvloop.run(_main())
