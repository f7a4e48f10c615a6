"""Recorded sides for an exchange, and the transcripts that are played to it: no socket, no time.

A transcript is what mitmproxy calls a playbook. Lines with `>` are what happens to the exchange,
the `<` lines behind each are all that it asks of its sides because of it, in order; `=` is how
the request was counted. Replicas are called one, two, … in the order in which they are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.contract.settings import RouterSettings
from router.contract.snapshot import Fault
from router.forwarding.context import Context
from router.forwarding.exchange import Exchange
from router.http.request_head import Ingress, RequestHead
from router.http.response_head import read_status_line
from router.http.seams import Agreed, ClientSide, ExchangeSide, UpstreamSide
from router.ingress.heads import HeadReader
from router.routing.replicas import Replica
from tests.support.builders import a_revision, an_app, take
from tests.support.heads import read_response

# Every limit is another number, so that a transcript can say which of them is armed.
LIMITS = {
    "connect_timeout_s": 5.0,
    "response_timeout_s": 240.0,
    "body_idle_timeout_s": 60.0,
    "response_idle_s": 30.0,
    "queue_timeout_s": 7.0,
}
ARMED = {6: "connect", 240: "response", 60: "body", 30: "more", 7: "queue"}
NAMES = ("one", "two", "three", "four")
FAILURES = {
    "refused": outcomes.CONNECT_FAILED,
    "timed out": outcomes.CONNECT_TIMEOUT,
    "out of sockets": outcomes.OUT_OF_SOCKETS,
}


def shown(data: bytes) -> str:
    """Bytes that were sent: of a head its first line and how it is framed, the rest as it is."""
    head, _, rest = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    if "HTTP/1." not in line:
        return repr(data.decode())
    kept = [f.split(": ")[1] for f in fields if f.startswith(("Connection", "Transfer-Enc"))]
    sizes = [f"length={f.split(': ')[1]}" for f in fields if f.startswith("Content-Length")]
    return " ".join((line, *kept, *sizes, *([repr(rest.decode())] if rest else [])))


class Loop:
    """A loop that runs nothing by itself."""

    def __init__(self, did: list[str]) -> None:
        self._did = did
        self.later: list[Callable[[], None]] = []

    def call_soon(self, act: Callable[[], None]) -> None:
        self.later.append(act)

    def call_later(self, _: float, act: Callable[[], None]) -> None:
        self.later.append(act)

    def create_task(self, attempt: Any) -> Connecting:
        attempt.close()
        return Connecting(self._did)


class Connecting:
    """A connect that never ends by itself."""

    def __init__(self, did: list[str]) -> None:
        self.name = ""
        self._did = did
        self._done: Callable[[Any], Any] | None = None

    def add_done_callback(self, done: Callable[[Any], Any]) -> None:
        self._done = done

    def cancel(self) -> bool:
        self._did.append(f"cancel {self.name}")
        self.end()
        return True

    def end(self) -> None:
        if self._done is not None:
            self._done(self)
            self._done = None


class RecordedClient(ClientSide):
    """A client's connection."""

    def __init__(self, did: list[str]) -> None:
        super().__init__(deadline=0.0)
        self._did = did
        self.agreed: Agreed | None = None

    @property
    def peer(self) -> str:
        return "192.0.2.1"

    def write(self, pieces: list[bytes]) -> None:
        self._did.append(f"client write {shown(b''.join(pieces))}")

    def answer(self, outcome: Outcome, head: RequestHead, *, keeps_alive: bool) -> None:
        self._did.append(f"client answer {outcome.status} {outcome.code}{_end(keeps_alive)}")

    def finished(self, *, keeps_alive: bool) -> None:
        self._did.append(f"client finished{_end(keeps_alive)}")

    def cut(self, *, is_framed: bool) -> None:
        self._did.append("client cut" if is_framed else "client reset")

    def hold_body(self) -> None:
        self._did.append("client hold")

    def resume_body(self) -> None:
        self._did.append("client resume")

    def arm(self, seconds: float) -> None:
        self._did.append(f"arm {ARMED.get(round(seconds), round(seconds))}")

    def on_deadline(self) -> None:
        pass

    def tunnel(self, agreed: Agreed, upstream: UpstreamSide, wire: bytes, rest: bytes) -> None:
        self.agreed = agreed
        self._did.append(f"client tunnel {shown(wire)} {rest.decode()}".rstrip())
        upstream.detach()


def _end(keeps_alive: bool) -> str:
    return "" if keeps_alive else " and close"


class RecordedUpstream(UpstreamSide):
    """A connection to a replica."""

    def __init__(self, did: list[str], name: str, replica: Replica) -> None:
        super().__init__()
        self._did = did
        self._name = name
        self._replica = replica
        self.is_sent = True

    @property
    def has_sent(self) -> bool:
        return self.is_sent

    def begin(self, exchange: ExchangeSide, wire: bytes, *, is_head: bool) -> None:
        self.used += 1
        self._did.append(f"{self._name} begin {shown(wire)}")

    def write(self, data: bytes) -> None:
        self._did.append(f"{self._name} write {data.decode()!r}")

    def hold(self) -> None:
        self._did.append(f"{self._name} hold")

    def resume(self) -> None:
        self._did.append(f"{self._name} resume")

    def release(self, now: float) -> None:
        self._did.append(f"{self._name} release")

    def close(self) -> None:
        self._did.append(f"{self._name} close")

    def detach(self) -> asyncio.Transport:
        self._did.append(f"{self._name} detach")
        return cast(asyncio.Transport, None)


class Stage:
    """One exchange between recorded sides."""

    def __init__(self, replicas: int = 2, **settings: Any) -> None:
        self.did: list[str] = []
        self.loop = Loop(self.did)
        self.settings = RouterSettings(routes="-", workers=1, **{**LIMITS, **settings})
        self.context = Context(self.settings, cast(asyncio.AbstractEventLoop, self.loop))
        self._moves = 0
        self.addresses = [f"127.0.0.1:{port}" for port in range(1, replicas + 1)]
        self.route()
        self.client = RecordedClient(self.did)
        self.exchange: Exchange | None = None
        self.names: dict[Replica, str] = {}
        self.connections: list[RecordedUpstream] = []

    def route(self, suffix: str = "v1") -> None:
        """Lead the host to replicas of a revision."""
        take(self.context, an_app(a_revision(suffix, 100, endpoints=self.addresses)))

    def move_replicas(self) -> None:
        """The revision leaves the table, and another comes with a replica of its own."""
        self._moves += 1
        self.addresses = [f"127.0.0.1:{100 + self._moves}"]
        self.route(f"v{self._moves + 1}")

    @property
    def replicas(self) -> list[Replica]:
        return list(self.context.registry)

    def fault(self, **fault: Any) -> None:
        """Inject a fault into every request from now on."""
        always = Fault(until=1.0, seconds=60.0, delay_percent=100, **fault)
        faulty = replace(a_revision("v1", 100, endpoints=self.addresses), fault=always)
        take(self.context, an_app(faulty))

    def name(self, replica: Replica) -> str:
        return self.names.setdefault(replica, NAMES[len(self.names)])

    # --- events

    def request(self, line: str, *fields: str) -> None:
        """A request arrives: its head."""
        wire = "\r\n".join((line, "Host: shop.localhost", *fields, "", "")).encode()
        ingress = Ingress(forwarded=b"", peer=b"192.0.2.1", is_trusted=False)
        head = HeadReader(ingress, self.settings).read(wire, b"id")
        assert isinstance(head, RequestHead), head
        self.exchange = Exchange(self.context, self.client, head)
        self.exchange.start()
        self._note_connecting()

    def idle(self, used: int = 1) -> None:
        """Each replica has an idle connection that was used before."""
        for replica in self.replicas:
            connection = self._connection(replica)
            connection.used = used
            connection.idle_since = self.context.clock.now
            replica.idle.append(connection)

    def connecting(self) -> tuple[Replica, Connecting]:
        """The replica that is being connected to."""
        found = [(r, cast(Connecting, task)) for r in self.replicas for task in r.connecting]
        ((replica, task),) = found
        return replica, task

    def _note_connecting(self) -> None:
        for replica in self.replicas:
            for task in cast(list[Connecting], list(replica.connecting)):
                if not task.name:
                    task.name = self.name(replica)
                    self.did.append(f"connect {task.name}")

    def connected(self) -> None:
        """The replica accepts."""
        replica, task = self.connecting()
        task.end()
        connection = self._connection(replica)
        self.act(lambda exchange: exchange.connected(connection))

    def _connection(self, replica: Replica) -> RecordedUpstream:
        connection = RecordedUpstream(self.did, self.name(replica), replica)
        self.connections.append(connection)
        return connection

    def failed(self, how: str) -> None:
        """The connection cannot be opened."""
        _, task = self.connecting()
        task.end()
        self.act(lambda exchange: exchange.connect_failed(FAILURES[how]))

    def head(self, status: str, *fields: str) -> None:
        """The head of an answer arrives."""
        exchange = self.exchange
        assert exchange is not None
        line = read_status_line(b"HTTP/1.1 " + status.encode())
        assert line is not None
        pairs = [cast(Any, tuple(f.encode().split(b": ", 1))) for f in fields]
        is_head = exchange._head.method == b"HEAD"
        head = read_response(line, pairs, is_head=is_head)
        assert head is not None
        if head.status == 101:
            exchange.switching(head, b"rest")
        elif head.status < 200:
            exchange.interim(head)
        else:
            exchange.response_head(head)

    def unsend(self) -> None:
        """What was written to the replica has not left: its connection was closed before."""
        for connection in self.connections:
            connection.is_sent = False

    def act(self, does: Callable[[Exchange], object]) -> None:
        """Something happens to the exchange."""
        assert self.exchange is not None
        does(self.exchange)
        self._note_connecting()

    def took(self) -> list[str]:
        """What was done since it was asked last."""
        did, self.did[:] = list(self.did), []
        return did

    def counted(self) -> str:
        """How the request was counted; nothing may be left in flight."""
        assert self.exchange is not None
        assert self.exchange.is_over
        stats = self.context.stats
        assert all(r.in_flight == r.tunnels == 0 for r in self.replicas)
        assert all(s.in_flight == s.tunnels == 0 for s in stats.revisions.values())
        assert not self.context.registry.queued()
        codes = [(c, n) for s in stats.revisions.values() for c, n in s.codes.items()]
        ((code, times),) = codes
        assert times == 1
        return " ".join((str(code), *[reason for _, reason in stats.errors]))


def play(stage: Stage, transcript: str) -> None:
    """Play a transcript; what was done must be what it says."""
    for event, expected in _scenes(transcript):
        if event.startswith("="):
            assert stage.counted() == event[1:].strip()
            continue
        _happen(stage, event[1:].strip())
        took = stage.took()
        assert took == expected, f"after {event}: {took}"


def _scenes(transcript: str) -> list[tuple[str, list[str]]]:
    scenes: list[tuple[str, list[str]]] = []
    for line in filter(None, map(str.strip, transcript.splitlines())):
        if line.startswith("<"):
            scenes[-1][1].append(line[1:].strip())
        else:
            scenes.append((line, []))
    return scenes


def _happen(stage: Stage, event: str) -> None:
    word, _, rest = event.partition(" ")
    if word == "request":
        stage.request(*rest.split(" | "))
    elif word == "idle":
        stage.idle()
    elif event == "connected":
        stage.connected()
    elif word == "connect":
        stage.failed(rest)
    elif word == "head":
        stage.head(*rest.split(" | "))
    else:
        stage.act(lambda exchange: _hear(stage, exchange, word, rest))


def _hear(stage: Stage, exchange: Exchange, word: str, rest: str) -> None:
    if word == "upload":
        exchange.request_body([piece.encode() for piece in rest.split()])
    elif word == "body":
        exchange.response_body([piece.encode() for piece in rest.split()])
    elif word == "end":
        exchange.response_ended([], is_reusable=rest != "closing")
    elif word == "client" and rest == "blocked":
        stage.client.is_blocked = True
        exchange.hold_response()
    elif word == "client" and rest == "reads":
        stage.client.is_blocked = False
        exchange.resume_response()
    elif word == "replica" and rest == "leaves":
        stage.move_replicas()
    elif word == "tunnel":
        assert stage.client.agreed is not None
        stage.client.agreed.end(is_stalled=rest == "stalled")
    else:
        plain = f"{word} {rest}".strip()
        happenings: dict[str, Callable[[], object]] = {
            "flush": exchange.flush,
            "uploaded": lambda: exchange.request_finished([]),
            "too late": exchange.timed_out,
            "client gone": exchange.client_lost,
            "client stalled": exchange.client_stalled,
            "chunk malformed": lambda: exchange.body_refused(outcomes.bad_request("no")),
            "replica full": exchange.hold_body,
            "replica takes more": exchange.resume_body,
            "replica breaks": exchange.upstream_lost,
            "replica talks nonsense": exchange.upstream_broken,
            "nothing was sent": stage.unsend,
            "delay over": lambda: stage.loop.later.pop()(),
        }
        happenings[plain]()
