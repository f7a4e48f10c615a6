"""What listeners of `GET /v1/events` are told, rendered once for all that look at the same.

A topic is one page: the overview in a certain order and search, or one app. Each event is the whole
state of its topic. So a slow listener skips outdated states without missing anything, and one that
comes back needs no history: it gets the present state.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from control.api.wire import summaries
from control.changes.changes import Changes
from control.model.errors import Invalid, NotFound
from control.model.kinds import AppName
from control.model.resources import AppView
from control.ops.quarantine import Quarantine
from control.publish.publisher import Publisher
from control.publish.rates import Rate

log = logging.getLogger("turnout.control")

_CONFLATE_S = 0.2  # a deploy changes an app many times a second, and a person sees few of them
_TICK_S = 1.0
_MOST_ROWS = 1000
_ROWS = 50
_MOST_SEARCHED = 100  # characters in a search
SORTS = ("name", "rate", "errors", "p99", "changed", "state")
_ORDER = {"bad": 0, "busy": 1, "ok": 2, "off": 3}

AllRates = tuple[dict[tuple[str, str], Rate], dict[str, Rate]]


def event(name: str, value: Any) -> tuple[str, bytes]:
    """An event in the form that is sent, and its id, a digest of what it says."""
    body = orjson.dumps(value)
    digest = blake2b(body, digest_size=8).hexdigest()
    return digest, b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), digest.encode(), body)


class Listener:
    """One stream: the newest unsent event of each kind, and nothing older."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes] = {}
        self._news = asyncio.Event()

    def put(self, kind: str, body: bytes) -> None:
        self._waiting[kind] = body
        self._news.set()

    async def next(self, timeout_s: float) -> bytes:
        """The bytes to send; a comment if nothing came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return b": still here\n\n"
        self._news.clear()
        body, self._waiting = b"".join(self._waiting.values()), {}
        return body


class Topic(ABC):
    """One page, and the listeners that look at it."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.is_dirty = True
        self.state_id = ""
        self._state = b""
        self._rates = b""

    @abstractmethod
    def concerns(self, app: str) -> bool:
        """Whether a change of the app may be visible on this page."""

    @abstractmethod
    def render(self, rates: AllRates) -> tuple[str, Any]:
        """The event's name, and the whole state."""

    @abstractmethod
    def render_rates(self, rates: AllRates) -> Any:
        """The figures that change all the time."""

    def refresh(self, rates: AllRates) -> None:
        """Render the state again; if it has changed, tell the listeners."""
        self.is_dirty = False
        name, value = self.render(rates)
        known = self.state_id
        self.state_id, self._state = event(name, value)
        if self.state_id != known:
            self._tell("state", self._state)

    def tick(self, rates: AllRates) -> None:
        """Tell the rates; they replace older ones that have not been sent."""
        _, body = event("rates", self.render_rates(rates))
        # Without an id, because a listener comes back with the id of the last state.
        self._rates = b"".join(p for p in body.splitlines(True) if not p.startswith(b"id: "))
        self._tell("rates", self._rates)

    def _tell(self, kind: str, body: bytes) -> None:
        for listener in self.listeners:
            listener.put(kind, body)

    def welcome(self, listener: Listener, known: str) -> None:
        """Tell a new listener how things are; the state only if it does not have it already."""
        if known != self.state_id:
            listener.put("state", self._state)
        if self._rates:
            listener.put("rates", self._rates)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a listener wants to look at."""

    app: AppName = AppName("")
    with_inactive: bool = False
    search: str = ""
    sort: str = "name"
    limit: int = _ROWS
    offset: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wish:
        """The wish in a query. Raises Invalid."""
        sort = query.get("sort", "name")
        if sort not in SORTS:
            raise Invalid(f"sort: {sort[:40]!r} is not one of {', '.join(SORTS)}")
        return cls(
            AppName(query.get("app", "").lower()),
            query.get("inactive", "").lower() == "true",
            query.get("search", "").strip().lower()[:_MOST_SEARCHED],
            sort,
            _number(query, "limit", _ROWS, 1, _MOST_ROWS),
            _number(query, "offset", 0, 0, 10**6),
        )


def _number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise Invalid(f"{name}: {text[:20]!r} is not a number from {least} to {most}")
    return int(text)


class Live:
    """All topics, and the loop that serves them; it rests while nobody listens."""

    def __init__(self, changes: Changes, publisher: Publisher, quarantine: Quarantine) -> None:
        self._changes = changes
        self._publisher = publisher
        self._quarantine = quarantine
        self._topics: dict[Wish, Topic] = {}
        self._lines: dict[str, tuple[AppView, str, dict[str, Any]]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def changed(self, app: AppName) -> None:
        """Called when an app has changed."""
        for topic in self._topics.values():
            if topic.concerns(app):
                topic.is_dirty = True
                self._changed.set()

    @contextlib.contextmanager
    def listening(self, wish: Wish, known: str) -> Iterator[Listener]:
        """Listen to what is wished for, until the end of the block. Raises NotFound."""
        if wish.app:
            self._changes.read.app(wish.app)
        topic = self._topics.get(wish)
        if topic is None:
            topic = AppTopic(self, wish) if wish.app else Overview(self, wish)
        rates = self._publisher.rates
        if topic.is_dirty:
            topic.refresh(rates.now())
        self._topics[wish] = topic  # of one that cannot be shown nothing stays
        listener = Listener()
        topic.listeners.add(listener)
        rates.watchers += 1
        topic.welcome(listener, known)
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())
        try:
            yield listener
        finally:
            rates.watchers -= 1
            topic.listeners.discard(listener)
            if not topic.listeners:
                self._topics.pop(wish, None)
            if not self._topics:
                self._loop.cancel()
                self._loop, self._lines = None, {}

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        heard, next_tick = -1, loop.time()
        while True:
            try:
                async with asyncio.timeout_at(next_tick):
                    await self._changed.wait()
                await asyncio.sleep(_CONFLATE_S)
            except TimeoutError:
                next_tick = loop.time() + _TICK_S
            self._changed.clear()
            now = self._publisher.rates.now()
            is_tick = self._publisher.rates.heard != heard and loop.time() >= next_tick - _TICK_S
            if is_tick:
                heard = self._publisher.rates.heard
            for topic in list(self._topics.values()):
                self._serve(topic, now, is_tick=is_tick)
                await asyncio.sleep(0)  # deploys and routers do not wait until all are told

    def _serve(self, topic: Topic, rates: AllRates, *, is_tick: bool) -> None:
        try:
            if topic.is_dirty or (is_tick and isinstance(topic, Overview) and topic.is_by_rate):
                topic.refresh(rates)
            if is_tick:
                topic.tick(rates)
        except Exception:  # an app that cannot be shown must not end other streams
            log.exception("event=not_shown")

    # --- what topics read

    @property
    def changes(self) -> Changes:
        return self._changes

    def quarantined(self, app: AppName) -> str:
        """Why an app is served as it was; empty when it is not quarantined."""
        return self._quarantine.why(app) or ""

    def lines(self) -> list[dict[str, Any]]:
        """Every app as one line, rendered once per change."""
        found = []
        for view in self._changes.read.apps():
            assert view.app is not None
            name, why = view.app.name, self.quarantined(view.app.name)
            known = self._lines.get(name)
            if known is None or known[0] is not view or known[1] != why:
                wire = summaries.line(view, self._changes.domain, why)
                known = self._lines[name] = (view, why, wire)
            found.append(known[2])
        if len(self._lines) > 2 * len(found) + 100:
            self._lines.clear()
        return found


class Overview(Topic):
    """A page of the list of apps."""

    def __init__(self, live: Live, wish: Wish) -> None:
        super().__init__()
        self._live = live
        self._wish = wish
        self._names: list[str] = []

    @property
    def is_by_rate(self) -> bool:
        """Whether the order follows the traffic."""
        return self._wish.sort in ("rate", "errors", "p99")

    def concerns(self, app: str) -> bool:
        return True

    def render(self, rates: AllRates) -> tuple[str, Any]:
        wish, every = self._wish, self._live.lines()
        found = [row for row in every if wish.search in row["name"]]
        found.sort(key=lambda row: self._rank(row, rates[1].get(row["name"], _NO_RATE)))
        rows = found[wish.offset : wish.offset + wish.limit]
        self._names = [row["name"] for row in rows]
        tones = [row["tone"] for row in every]
        return "apps", {
            "apps": rows,
            "found": len(found),
            "total": len(every),
            "tones": {tone: tones.count(tone) for tone in _ORDER},
        }

    def _rank(self, row: Mapping[str, Any], rate: Rate) -> tuple[Any, ...]:
        name = row["name"]
        match self._wish.sort:
            case "rate":
                return -round(rate.per_s), name
            case "errors":
                return -round(rate.errors, 2), -round(rate.per_s), name
            case "p99":
                return -(rate.p99 or 0.0), name
            case "changed":
                return tuple(-ord(c) for c in row["changed"]), name
            case "state":
                return _ORDER[row["tone"]], name
        return (name,)

    def render_rates(self, rates: AllRates) -> Any:
        by_revision, by_app = rates
        asked: dict[str, list[Any]] = {}
        for name in self._names:
            if (rate := by_app.get(name)) is not None:
                mine = {k: r for k, r in by_revision.items() if k[0] == name} if rate.errors else {}
                asked[name] = [*rate.wire()[:4], summaries.failing(name, mine)]
        per_s = sum(rate.per_s for rate in by_app.values())
        errors = sum(rate.per_s * rate.errors for rate in by_app.values())
        return {"apps": asked, "total": Rate(per_s, errors / per_s if per_s else 0.0).wire()[:2]}


class AppTopic(Topic):
    """One app with its revisions."""

    def __init__(self, live: Live, wish: Wish) -> None:
        super().__init__()
        self._live = live
        self._wish = wish

    def concerns(self, app: str) -> bool:
        return app == self._wish.app

    def render(self, rates: AllRates) -> tuple[str, Any]:
        name = self._wish.app
        try:
            view = self._live.changes.read.app(name)
        except NotFound:
            return "gone", {"app": name}
        return "app", summaries.page(
            view,
            self._live.changes.domain,
            with_inactive=self._wish.with_inactive,
            quarantined=self._live.quarantined(name),
        )

    def render_rates(self, rates: AllRates) -> Any:
        by_revision, by_app = rates
        name = self._wish.app
        mine = {r: rate.wire() for (app, r), rate in by_revision.items() if app == name and r}
        return {"app": by_app.get(name, _NO_RATE).wire(), "revisions": mine}


_NO_RATE = Rate()
