"""Who asks apps through two routers, as behind a load balancer that knows which are down.

A request of an app has to be answered by a revision of that app. One that was in flight on a
connection of a router that was killed with its workers is counted apart: nobody could answer it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tests.soak.plane import Away, Plane
from tests.support.origin import Connection, Origin

_RATE, _VISITORS = 60.0, 12
_ANSWER_S = 20.0
_FRESH_EVERY = 20  # requests of a connection
_T = TypeVar("_T")
_PATH = "/?delay=30ms"  # so that some is in flight when something happens
_NEWS_S = 0.1  # until a client hears that a connection it is about to use has ended


@dataclass
class Loss:
    """A request that was not answered by its app."""

    app: str
    router: int
    sent_at: float
    lost_at: float
    why: str

    def explained(self, aways: list[Away]) -> bool:
        """Whether it was in flight on a router that was killed."""
        return any(
            a.is_killed
            and a.router == self.router
            and self.sent_at <= (a.gone_at or self.lost_at) + _NEWS_S
            and a.at <= self.lost_at
            for a in aways
        )


@dataclass
class Tally:
    """What became of the requests."""

    sent: int = 0
    losses: list[Loss] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)


class _Visitor:
    """Asks one app, on a connection at a time."""

    def __init__(self, plane: Plane, app: str, router: int, tally: Tally) -> None:
        self._plane, self._app, self._home, self._tally = plane, app, router, tally
        self._router = router
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._asked = 0

    async def run(self, due: float, pause_s: float, is_over: threading.Event) -> None:
        while not is_over.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause_s, time.monotonic() - pause_s)
            await self._ask()
        self._close()

    async def _ask(self) -> None:
        began = time.monotonic()
        self._tally.sent += 1
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._connected()
                began = time.monotonic()
                await self._answered()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            loss = Loss(self._app, self._router, began, time.monotonic(), why)
            self._tally.losses.append(loss)
            self._close()
        else:
            self._tally.waits_ms.append((time.monotonic() - began) * 1000)

    async def _connected(self) -> None:
        """On a connection to a router that is not down; an idle one that was ended is no loss."""
        if self._writer is not None and (
            self._router in self._plane.down or self._reader.at_eof() or self._reader.exception()
        ):
            self._close()
        while self._writer is None:
            down = self._plane.down
            self._router = 1 - self._home if self._home in down else self._home
            address = self._plane.routers[self._router].facts["ingress"]
            host, _, port = address.rpartition(":")
            try:
                self._reader, self._writer = await asyncio.open_connection(host, int(port))
            except OSError:
                if self._router not in self._plane.down:
                    raise

    async def _answered(self) -> None:
        """Ask, and raise ValueError for an answer that is none of the app's."""
        assert self._writer is not None
        self._asked += 1
        is_last = self._asked % _FRESH_EVERY == 0
        more = "Connection: close\r\n" if is_last else ""
        head = f"GET {_PATH} HTTP/1.1\r\nHost: {self._app}.localhost\r\n{more}\r\n"
        self._writer.write(head.encode())
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        size = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(size)
        if is_last or b"\r\nconnection: close" in answer:
            self._close()
        is_its_own = f"x-turnout-revision: {self._app}--".encode() in answer
        if not answer.startswith(b"http/1.1 200") or not is_its_own:
            raise ValueError((answer + body)[:400].decode(errors="replace"))

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


async def _endless(connection: Connection) -> None:
    """Answers a probe with a head that never ends, a field at a time."""
    await connection.head()
    await connection.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.send(b"X-More: more\r\n")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _origins() -> AsyncIterator[dict[str, str]]:
    async with Origin() as good, Origin(_endless) as endless:
        yield {"good": good.address, "endless": endless.address}


class Visitors:
    """A thread with them, and with the replicas that need no process."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()
        self._is_over = threading.Event()
        self._visits: list[asyncio.Task[None]] = []
        self.origins: dict[str, str] = {}  # the addresses of the replicas
        self.tally = Tally()

    def __enter__(self) -> Visitors:
        self._thread.start()
        self.origins = self._call(lambda: self._stack.enter_async_context(_origins()))
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._call(self._stack.aclose)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def visit(self, apps: tuple[str, ...]) -> None:
        """Ask them, each through both routers, until the end."""

        async def begin() -> None:
            pause_s, now = _VISITORS / _RATE, time.monotonic()
            for n in range(_VISITORS):
                app = apps[n // 2 % len(apps)]
                visitor = _Visitor(self._plane, app, n % 2, self.tally)
                run = visitor.run(now + n / _RATE, pause_s, self._is_over)
                self._visits.append(asyncio.create_task(run))

        self._call(begin)

    def leave(self) -> None:
        """Ask no more."""
        self._is_over.set()

        async def over() -> None:
            await asyncio.gather(*self._visits)

        self._call(over)

    def _call(self, what: Callable[[], Awaitable[_T]]) -> _T:
        async def called() -> _T:
            return await what()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(60)
