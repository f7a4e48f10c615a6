"""A steady load on raw connections that hides nothing: every request is answered or counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

_ANSWER_S = 20.0


@dataclass
class Outcome:
    """What became of a load."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[float, str]] = field(default_factory=list)  # when (monotonic), what
    asked: list[float] = field(default_factory=list)  # when each of these was asked

    def __str__(self) -> str:
        return f"{self.sent} requests, {len(self.failures)} failed: {self.failures[:5]}"

    def failed_outside(self, windows: list[tuple[float, float]]) -> list[tuple[float, str]]:
        """Failures that no window of time explains."""
        return [f for f in self.failures if not any(a <= f[0] <= b for a, b in windows)]


class Load:
    """`rate` requests per second, over `connections` keep-alive connections."""

    def __init__(self, port: int, host: str, rate: float, connections: int = 20) -> None:
        self._port = port
        self._wire = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._pause = connections / rate
        self._connections = connections
        self._is_over = False
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Until `stop`."""
        await asyncio.gather(*(self._one(i) for i in range(self._connections)))
        return self.outcome

    def stop(self) -> None:
        """Finish what is in flight and end."""
        self._is_over = True

    async def _one(self, number: int) -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        due = time.monotonic() + number * self._pause / self._connections
        while not self._is_over:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += self._pause
            # An idle connection that was closed properly is no failure: nothing was asked on it.
            if reader is None or writer is None or reader.at_eof() or reader.exception():
                if writer is not None:
                    writer.close()
                reader, writer = await self._open()
                if writer is None or reader is None:
                    continue
            if not await self._ask(reader, writer):
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader | None, asyncio.StreamWriter | None]:
        asked = time.monotonic()
        try:
            return await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            self._fail(f"connect: {error}", asked)
            return None, None

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.outcome.sent += 1
        asked = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_S):
                writer.write(self._wire)
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head[9:12])
                lowered = head.lower()
                size = int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self._fail(f"{type(error).__name__}: {error}", asked)
            return False
        self.outcome.statuses[status] += 1
        if status != 200:
            self._fail(head.decode(errors="replace"), asked)
        return b"connection: close" not in lowered

    def _fail(self, what: str, asked: float) -> None:
        self.outcome.failures.append((time.monotonic(), what))
        self.outcome.asked.append(asked)
