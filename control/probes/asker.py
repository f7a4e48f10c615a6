"""One question to a replica, by TCP or HTTP: what went wrong, or nothing.

Thousands are asked while nothing happens, so a question takes no task and, as long as the answer
is there at once, no timer. Knows nothing of thresholds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httptools

from control.model.targets import Targets
from control.model.template import HttpGet, Probe
from control.probes.resolving import Refused, allowed_addresses
from router.process.names import Names

P = TypeVar("P", bound=asyncio.Protocol)
Done = Callable[[str], None]  # what went wrong; empty for nothing

_STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_MOST_BYTES = 64 << 10  # of an answer that is kept reading for the sake of its connection
_IN_PATHS = "/?&=%:@!$'()*+,;~"
_ASKS = 6  # over one connection: a kept one would not notice that nobody accepts any more


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What one probe asks of one replica, made once: it is asked again and again."""

    address: str
    timeout_s: float = field(compare=False)  # equal are those that ask the same
    request: bytes = b""  # empty for a mere connection
    path: str = ""
    is_tls: bool = False
    app: str = field(default="", compare=False)  # whose probe it is
    is_judged: bool = True  # else the address has to be found an allowed target each time

    @classmethod
    def of(cls, probe: Probe, address: str, app: str = "", *, is_judged: bool = True) -> Inquiry:
        """The question of a probe."""
        get = probe.http_get
        if get is None:
            return cls(address, probe.timeout_seconds, app=app, is_judged=is_judged)
        is_tls, request = get.scheme == "HTTPS", _request(get, address)
        return cls(address, probe.timeout_seconds, request, get.path, is_tls, app, is_judged)

    @property
    def target(self) -> str:
        """Where a connection leads."""
        return f"tls:{self.address}" if self.is_tls else self.address


class KeptConnection:
    """Connections that one replica's HTTP probes use again."""

    def __init__(self) -> None:
        self._by_target: dict[str, Connection] = {}
        self.is_over = False

    def take(self, target: str) -> Connection | None:
        """The idle connection to a target; it is the caller's then."""
        return self._by_target.pop(target, None)

    def put(self, target: str, connection: Connection) -> None:
        """Keep an idle connection, unless there is one or none is wanted."""
        if self.is_over or target in self._by_target:
            connection.close()
        else:
            self._by_target[target] = connection

    def drop(self, target: str, connection: Connection) -> None:
        """The other side closed it."""
        if self._by_target.get(target) is connection:
            del self._by_target[target]

    def close(self) -> None:
        """Close them, and those that come back later."""
        self.is_over = True
        for connection in self._by_target.values():
            connection.close()
        self._by_target.clear()


class Asker:
    """Asks; each question ends by its probe's timeout."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._names = Names()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, inquiry: Inquiry, kept: KeptConnection, done: Done) -> None:
        """Ask once; `done` hears what went wrong, perhaps before this returns."""
        if inquiry.request:
            _Question(inquiry, kept, done).begin(self)
        else:
            self._tcp(inquiry, done)

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that takes time; `close` gives it up."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def places(self, inquiry: Inquiry) -> list[str]:
        """The hosts to try. Raises Refused, and OSError for a name that nobody knows."""
        host, _, _ = split(inquiry.address)
        if inquiry.is_judged:
            return [host]
        return await allowed_addresses(self._names, self._targets, host, inquiry.app)

    def _tcp(self, inquiry: Inquiry, done: Done) -> None:
        host, port, family = split(inquiry.address)
        if family is None or not inquiry.is_judged:  # looking up a name takes time
            self.later(self._tcp_slowly(inquiry, done))
            return
        try:
            sock = socket.SocketType(family, _STREAM)
        except OSError as error:  # out of descriptors, for example
            done(f"it could not be asked ({error.strerror})")
            return
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            # On this host the answer is there by now: asking again saves an event and a timer.
            code = sock.connect_ex((host, port))
        sock.close()
        if code in (errno.EALREADY, errno.EINPROGRESS):
            self.later(self._tcp_slowly(inquiry, done))
        else:
            is_open = code in (0, errno.EISCONN)
            done("" if is_open else _refused(inquiry.address, os.strerror(code)))

    async def _tcp_slowly(self, inquiry: Inquiry, done: Done) -> None:
        """Connect to what is far away, or has a name."""
        wrong = ""
        try:
            async with asyncio.timeout(inquiry.timeout_s):
                transport, _ = await self.connect(inquiry, asyncio.Protocol)
            transport.abort()
        except TimeoutError:
            wrong = too_late(inquiry.timeout_s)
        except Refused as error:
            wrong = str(error)
        except OSError as error:
            wrong = _refused(inquiry.address, error.strerror or str(error))
        except Exception as error:  # without an answer the probe would wait for ever
            wrong = _unasked(inquiry.address, error)
        done(wrong)

    async def connect(
        self, inquiry: Inquiry, protocol: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """A connection to the first address that takes one. Raises Refused and OSError."""
        host, port, _ = split(inquiry.address)
        tls = _unverified() if inquiry.is_tls else None
        name = host if inquiry.is_tls else None
        *others, last = await self.places(inquiry)
        loop = asyncio.get_running_loop()
        for at in others:
            with contextlib.suppress(OSError):
                return await loop.create_connection(
                    protocol, at, port, ssl=tls, server_hostname=name
                )
        return await loop.create_connection(protocol, last, port, ssl=tls, server_hostname=name)


@lru_cache(maxsize=1 << 14)
def split(address: str) -> tuple[str, int, socket.AddressFamily | None]:
    """Host, port, and the family of the host; None for a name."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        version = ip_address(host).version
    except ValueError:
        return host, int(port), None
    return host, int(port), socket.AF_INET if version == 4 else socket.AF_INET6


def _refused(address: str, why: str) -> str:
    return f"nothing listens on {address} ({why})"


def _unasked(address: str, error: Exception) -> str:
    return f"{address} could not be asked ({error!r})"


def too_late(timeout_s: float) -> str:
    """What is wrong when nothing was heard in time."""
    return f"no answer within {timeout_s:g} s"


# --- HTTP


class _Question:
    """One HTTP question: answered once, and over when its connection is free or closed."""

    def __init__(self, inquiry: Inquiry, kept: KeptConnection, done: Done) -> None:
        self.inquiry = inquiry
        self.kept = kept
        self._done: Done | None = done
        self._asker: Asker | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    def begin(self, asker: Asker) -> None:
        """Ask over the kept connection, or over a new one."""
        self._asker = asker
        self._timer = asyncio.get_running_loop().call_later(self.inquiry.timeout_s, self._timed_out)
        connection = self.kept.take(self.inquiry.target)
        if connection is not None:
            self._connection = connection
            connection.ask(self)
        else:
            self.open()

    def open(self) -> None:
        """Ask over a new connection, unless there was an answer: then no timer would end it."""
        if self._done is None:
            return
        assert self._asker is not None
        self._opening = self._asker.later(self._open())

    async def _open(self) -> None:
        assert self._asker is not None
        try:
            _, connection = await self._asker.connect(self.inquiry, Connection)
        except Refused as error:
            self.over(str(error))
        except ssl.SSLError as error:
            self.over(f"not a valid TLS answer ({error.reason or error})")
        except OSError as error:
            self.over(_refused(self.inquiry.address, error.strerror or str(error)))
        except Exception as error:  # without an answer the probe would wait for ever
            self.over(_unasked(self.inquiry.address, error))
        else:
            self._connection = connection
            connection.ask(self)

    def answer(self, wrong: str) -> None:
        """Pass the answer on; the first one counts."""
        done, self._done = self._done, None
        if done is not None:
            done(wrong)

    def over(self, wrong: str = "") -> None:
        """Nothing more comes of it; `wrong` is the answer if there was none."""
        if self._timer is not None:
            self._timer.cancel()
        self.answer(wrong)

    def _timed_out(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.close()
        self.answer(too_late(self.inquiry.timeout_s))


class Connection(asyncio.Protocol):
    """A connection to a replica, with one question at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._question: _Question | None = None
        self._where: tuple[KeptConnection, str] | None = None  # it is kept there while it is idle
        self._asks = 0
        self._received = 0  # of this answer

    def ask(self, question: _Question) -> None:
        """Send a question."""
        self._question = question
        # What is judged each time is looked up each time, and needs a connection of its own.
        if question.inquiry.is_judged:
            self._where = (question.kept, question.inquiry.target)
        self._asks += 1
        self._received = 0
        if self._transport is None:  # it was closed just now
            self.connection_lost(None)
        else:
            self._transport.write(question.inquiry.request)

    def close(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """More of the answer; too much of it, or what nobody asked for, ends the connection."""
        self._received += len(data)
        question = self._question
        if question is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            question.answer(f"not a valid HTTP answer ({error})")
            self.close()
        if self._received > _MOST_BYTES:
            question.answer("not a valid HTTP answer (its head is too long)")
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed; a question that was on its way over a kept one is asked anew."""
        self._transport = None
        if self._where is not None:
            kept, target = self._where
            kept.drop(target, self)
        question, self._question = self._question, None
        if question is None:
            return
        if self._asks > 1 and not self._received:
            question.open()
        else:
            question.over("not a valid HTTP answer (the connection was closed)")

    # --- of the parser

    def on_headers_complete(self) -> None:
        """The status is known: that is the answer, whatever becomes of the body."""
        status = self._parser.get_status_code()
        if self._question is not None and status >= 200:
            is_good = status <= 399
            path = self._question.inquiry.path
            self._question.answer("" if is_good else f"{path} answered {status}")

    def on_message_complete(self) -> None:
        """The answer has been read, and the connection is free."""
        question = self._question
        if question is None or self._parser.get_status_code() < 200:
            return
        self._question = None
        question.over()
        if self._parser.should_keep_alive() and self._asks < _ASKS and self._where is not None:
            kept, target = self._where
            kept.put(target, self)
        else:
            self.close()


def _request(get: HttpGet, address: str) -> bytes:
    headers = {h.name.lower(): f"{h.name}: {h.value}" for h in get.http_headers}
    headers.setdefault("host", f"Host: {get.host or address}")
    headers.setdefault("user-agent", "User-Agent: turnout-probe")
    headers.setdefault("accept", "Accept: */*")
    lines = [f"GET {quote(get.path, safe=_IN_PATHS)} HTTP/1.1", *headers.values(), "", ""]
    return "\r\n".join(lines).encode()


@lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    """A replica's certificate is its own affair (kubelet does not verify it either)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
