"""Resolves host names in threads of its own, so that a slow name delays its own app and no other.

The loop's own resolver shares a few threads with all other work in threads, and a cancelled look-up
keeps its thread until the resolver gives up. Here each app may use a share of the threads, and the
process can end without waiting for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections import Counter, deque

from router.process.addresses import is_name

_SHARE = 8  # threads that one app may use
_MOST = 1000  # threads in all; it would take over a hundred slow apps to delay another
_LOOPBACK = ["127.0.0.1", "::1"]  # RFC 6761: localhost is never resolved by DNS


class _LookUp:
    """One look-up for one app, shared by every caller that wants the name meanwhile."""

    def __init__(self, app: str, host: str, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.host = host
        self.found: asyncio.Future[list[str]] = loop.create_future()
        self.waiting = 0


class Names:
    def __init__(self) -> None:
        self._under_way: dict[tuple[str, str], _LookUp] = {}  # by (app, host)
        self._queues: dict[str, deque[_LookUp]] = {}  # look-ups without a thread yet, by app
        self._threads: Counter[str] = Counter()  # threads in use, by app

    async def addresses(self, host: str, app: str) -> list[str]:
        """The addresses of a host. Raises OSError, and UnicodeError for a name DNS cannot hold."""
        if not is_name(host):
            return [host]
        if host.lower() == "localhost":
            return list(_LOOPBACK)
        look_up = self._under_way.get((app, host))
        if look_up is None:
            look_up = _LookUp(app, host, asyncio.get_running_loop())
            self._under_way[app, host] = look_up
            self._queues.setdefault(app, deque()).append(look_up)
        look_up.waiting += 1
        self._go_on()
        try:
            return await asyncio.shield(look_up.found)
        finally:
            look_up.waiting -= 1
            if not look_up.waiting:
                self._give_up(look_up)

    def _give_up(self, look_up: _LookUp) -> None:
        """Called when the last caller has given up: a look-up without a thread is dropped."""
        queue = self._queues.get(look_up.app)
        if queue is not None and look_up in queue:
            queue.remove(look_up)
            del self._under_way[look_up.app, look_up.host]

    def _go_on(self) -> None:
        """Start queued look-ups while threads are free; apps take turns."""
        for app, queue in list(self._queues.items()):
            while queue and self._threads[app] < _SHARE and self._threads.total() < _MOST:
                self._begin(queue.popleft())
            del self._queues[app]
            if queue:
                self._queues[app] = queue

    def _begin(self, look_up: _LookUp) -> None:
        self._threads[look_up.app] += 1
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._in_thread, args=(loop, look_up), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._done(look_up, OSError(errno.EAGAIN, "no thread for a look-up"))

    def _in_thread(self, loop: asyncio.AbstractEventLoop, look_up: _LookUp) -> None:
        answer: list[str] | OSError | UnicodeError
        try:
            infos = socket.getaddrinfo(look_up.host, None, type=socket.SOCK_STREAM)
            answer = [str(info[4][0]) for info in infos]
        except (OSError, UnicodeError) as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._ended, look_up, answer)

    def _ended(self, look_up: _LookUp, answer: list[str] | OSError | UnicodeError) -> None:
        self._done(look_up, answer)
        self._go_on()

    def _done(self, look_up: _LookUp, answer: list[str] | OSError | UnicodeError) -> None:
        self._threads[look_up.app] -= 1
        if not self._threads[look_up.app]:
            del self._threads[look_up.app]
        del self._under_way[look_up.app, look_up.host]
        if isinstance(answer, list):
            look_up.found.set_result(answer)
        elif look_up.waiting:
            look_up.found.set_exception(answer)
