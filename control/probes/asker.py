"""Asks a replica one question, by TCP or HTTP, and reports what went wrong, if anything.

Thousands of questions are asked while nothing happens, so a question uses no task, and no timer if
the answer is there at once. This module knows nothing of thresholds.
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
Done = Callable[[str], None]  # called with what went wrong; empty if nothing did

_STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_MOST_BYTES = 64 << 10  # of an answer; a longer one is not read to its end to keep the connection
_IN_PATHS = "/?&=%:@!$'()*+,;~"
_ASKS = 6  # questions per connection: a kept one would not notice that nobody accepts any more


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What one probe asks of one replica, made once and asked again and again."""

    address: str
    # does not count in comparisons: equal inquiries ask the same
    timeout_s: float = field(compare=False)
    request: bytes = b""  # empty to open a connection only
    path: str = ""
    is_tls: bool = False
    app: str = field(default="", compare=False)  # the app that the probe belongs to
    is_judged: bool = True  # if not, the address must be found allowed each time

    @classmethod
    def of(cls, probe: Probe, address: str, app: str = "", *, is_judged: bool = True) -> Inquiry:
        """The inquiry that a probe makes at an address."""
        get = probe.http_get
        if get is None:
            return cls(address, probe.timeout_seconds, app=app, is_judged=is_judged)
        is_tls, request = get.scheme == "HTTPS", _request(get, address)
        return cls(address, probe.timeout_seconds, request, get.path, is_tls, app, is_judged)

    @property
    def target(self) -> str:
        """The host and port to connect to."""
        return f"tls:{self.address}" if self.is_tls else self.address


class KeptConnection:
    """The connections that one replica's HTTP probes reuse."""

    def __init__(self) -> None:
        self._by_target: dict[str, Connection] = {}
        self.is_over = False

    def take(self, target: str) -> Connection | None:
        """Take the idle connection to a target; None if there is none."""
        return self._by_target.pop(target, None)

    def put(self, target: str, connection: Connection) -> None:
        """Keep an idle connection, unless one is kept already or none is wanted."""
        if self.is_over or target in self._by_target:
            connection.close()
        else:
            self._by_target[target] = connection

    def drop(self, target: str, connection: Connection) -> None:
        """Called when the other side has closed a connection."""
        if self._by_target.get(target) is connection:
            del self._by_target[target]

    def close(self) -> None:
        """Close all, including connections that are put back later."""
        self.is_over = True
        for connection in self._by_target.values():
            connection.close()
        self._by_target.clear()


class Asker:
    """Asks questions; each ends by its probe's timeout."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._names = Names()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, inquiry: Inquiry, kept: KeptConnection, done: Done) -> None:
        """Ask once; `done` is called with what went wrong, perhaps before this returns."""
        if inquiry.request:
            _Question(inquiry, kept, done).begin(self)
        else:
            self._tcp(inquiry, done)

    async def close(self) -> None:
        """Cancel the questions being asked."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that takes time; `close` cancels it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def places(self, inquiry: Inquiry) -> list[str]:
        """The hosts to try. Raises Refused, and OSError for a name that does not resolve."""
        host, _, _ = split(inquiry.address)
        if inquiry.is_judged:
            return [host]
        return await allowed_addresses(self._names, self._targets, host, inquiry.app)

    def _tcp(self, inquiry: Inquiry, done: Done) -> None:
        host, port, family = split(inquiry.address)
        if family is None or not inquiry.is_judged:  # a name must be resolved, which takes time
            self.later(self._tcp_slowly(inquiry, done))
            return
        try:
            sock = socket.SocketType(family, _STREAM)
        except OSError as error:  # for example, no descriptors are left
            done(f"it could not be asked ({error.strerror})")
            return
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            # A host on this machine has answered by now: asking again saves an event and a timer.
            code = sock.connect_ex((host, port))
        sock.close()
        if code in (errno.EALREADY, errno.EINPROGRESS):
            self.later(self._tcp_slowly(inquiry, done))
        else:
            is_open = code in (0, errno.EISCONN)
            done("" if is_open else _refused(inquiry.address, os.strerror(code)))

    async def _tcp_slowly(self, inquiry: Inquiry, done: Done) -> None:
        """Connect to an address that is far away, or given by name."""
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
        except Exception as error:  # without any answer the probe would wait for ever
            wrong = _unasked(inquiry.address, error)
        done(wrong)

    async def connect(
        self, inquiry: Inquiry, protocol: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """A connection to the first address that accepts one. Raises Refused and OSError."""
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
    """Host, port, and the host's address family; None in its place for a name."""
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
    """What is reported when no answer came in time."""
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
        """Ask over the kept connection, or else over a new one."""
        self._asker = asker
        self._timer = asyncio.get_running_loop().call_later(self.inquiry.timeout_s, self._timed_out)
        connection = self.kept.take(self.inquiry.target)
        if connection is not None:
            self._connection = connection
            connection.ask(self)
        else:
            self.open()

    def open(self) -> None:
        """Ask over a new connection; not after an answer, when no timer would end it any more."""
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
        except Exception as error:  # without any answer the probe would wait for ever
            self.over(_unasked(self.inquiry.address, error))
        else:
            self._connection = connection
            connection.ask(self)

    def answer(self, wrong: str) -> None:
        """Pass on an answer; only the first one counts."""
        done, self._done = self._done, None
        if done is not None:
            done(wrong)

    def over(self, wrong: str = "") -> None:
        """End the question; `wrong` is the answer if there has been none."""
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
        # where the connection is kept while idle
        self._where: tuple[KeptConnection, str] | None = None
        self._asks = 0
        self._received = 0  # bytes of this answer

    def ask(self, question: _Question) -> None:
        """Send a question."""
        self._question = question
        # A target that is judged each time is also resolved each time, and needs a new connection.
        if question.inquiry.is_judged:
            self._where = (question.kept, question.inquiry.target)
        self._asks += 1
        self._received = 0
        if self._transport is None:  # the replica has just closed it
            self.connection_lost(None)
        else:
            self._transport.write(question.inquiry.request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read more of the answer; too many bytes or unexpected ones end the connection."""
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
        """The connection is closed.

        A question sent over a kept connection is asked again on a new one.
        """
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
        """The status is known and decides the answer, whatever the body holds."""
        status = self._parser.get_status_code()
        if self._question is not None and status >= 200:
            is_good = status <= 399
            path = self._question.inquiry.path
            self._question.answer("" if is_good else f"{path} answered {status}")

    def on_message_complete(self) -> None:
        """The whole answer has been read, and the connection is free again."""
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
    """Accepts any certificate: kubelet does not verify a replica's certificate either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
