"""What a control plane has sent, app by app, and which of it is routed.

A delta names the table it begins from and the hash it leads to; one that does not fit is refused,
and the whole table is asked for. Pure.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from router.contract.admission import Admission, News
from router.contract.check import check_app, domain_problem
from router.contract.snapshot import App, Delta, Snapshot, content_hash, digest

log = logging.getLogger("turnout.router")


class Received:
    """A control plane's table: the bytes received, their hash, and the apps that are routed."""

    def __init__(self) -> None:
        self.domain = ""
        self.epoch = ""
        self.version = 0
        self.is_delta = False  # whether the last answer taken was a delta
        self._delta: Delta | None = None
        self._bodies: dict[str, bytes] = {}
        self._total = 0
        self._admission = Admission()

    @property
    def hash(self) -> str:
        """The hash of all that was received, refused apps included.

        Empty before the first table.
        """
        return content_hash(self._total) if self.domain else ""

    @property
    def known(self) -> dict[str, Any]:
        """What names this table in a poll: a delta from any other table does not fit."""
        return {"epoch": self.epoch, "version": self.version, "hash": self.hash}

    @property
    def refused(self) -> Mapping[str, str]:
        """Why each refused app's newest version is not routed, by app."""
        return self._admission.refused

    def snapshot(self) -> Snapshot:
        """The table to route by; an unchanged app is the same object as in the last one."""
        return Snapshot(
            domain=self.domain,
            apps=tuple(self._admission.apps.values()),
            version=self.version,
            epoch=self.epoch,
            refused=dict(self.refused),
            delta=self._delta,
        )

    def whole(self) -> bytes:
        """All as JSON that `take` can read: what was received, and older versions kept in its
        place.
        """
        kept = [self._admission.apps[n] for n in self.refused if n in self._admission.apps]
        head = {"domain": self.domain, **self.known, "kept": kept}
        apps = b",".join(self._bodies.values())
        return orjson.dumps(head)[:-1] + b',"apps":[' + apps + b"]}"

    def take(self, wire: Any) -> str:
        """Take a decoded table or delta; returns why all of it was refused, or nothing.

        A bad app does not refuse the rest: it is refused alone.
        """
        try:
            _check_head(wire)
            is_delta = "base" in wire
            wrong = self._take_delta(wire) if is_delta else self._take_whole(wire)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            return f"the table does not have the form of one: {error!r}"
        self.is_delta = is_delta and not wrong
        return wrong

    def _take_whole(self, wire: Any) -> str:
        domain = wire["domain"]
        if wrong := domain_problem(domain):
            return f"domain: {wrong}"
        bodies = dict(_named(wire["apps"], "apps"))
        total = digest(domain.encode()) + sum(map(digest, bodies.values()))
        if wire.get("hash", content_hash(total)) != content_hash(total):
            return "the table is not the one that its hash names"
        # every host is another one then, so every app has to be compiled again
        is_moved = domain != self.domain
        before = {} if is_moved else self._bodies
        changed = {k: body for k, body in bodies.items() if before.get(k) != body}
        gone = dict.fromkeys(before.keys() - bodies.keys(), None)
        news = _all_news(changed | gone, domain)
        kept = _all_news(dict(_named(wire.get("kept", ()), "kept")), domain)
        # Nothing above has changed anything, and nothing below can fail.
        if is_moved:
            self._admission = Admission()
        self._begin(wire, domain, total)
        self._bodies, self._delta = bodies, None
        self._admit(news)
        for name, app in kept.items():
            if name in self.refused and isinstance(app, App):
                self._admission.keep(app)
        return ""

    def _take_delta(self, wire: Any) -> str:
        if wire["base"] != self.known:
            return "the changes begin from another table than the one that is here"
        changed = dict(_named(wire["changed"], "changed"))
        if wrong := _nameless(changed, wire["changed"]):
            return wrong
        # Once each: a name dropped twice, or both dropped and changed, would be subtracted twice.
        dropped = (n for n in wire["dropped"] if n in self._bodies and n not in changed)
        gone = dict.fromkeys(dropped, None)
        total = self._total + sum(map(digest, changed.values()))
        for name in (*changed, *gone):
            if name in self._bodies:
                total -= digest(self._bodies[name])
        if content_hash(total) != wire["hash"]:
            return "the changes do not lead to the table that their hash names"
        news = _all_news(changed | gone, self.domain)
        # Nothing above has changed anything, and nothing below can fail.
        self._bodies.update(changed)
        for name in gone:
            del self._bodies[name]
        before = (self.epoch, self.version)
        self._begin(wire, self.domain, total)
        routed = self._admit(news)
        self._delta = Delta(
            *before,
            changed=tuple(app for app in routed.values() if app is not None),
            dropped=tuple(name for name, app in routed.items() if app is None),
        )
        return ""

    def _begin(self, wire: Any, domain: str, total: int) -> None:
        self.domain, self._total = domain, total
        self.epoch, self.version = wire["epoch"], wire["version"]

    def _admit(self, news: Mapping[str, News]) -> dict[str, App | None]:
        known = dict(self.refused)
        routed = self._admission.admit(news)
        for name, why in self.refused.items():
            if known.get(name) != why:
                log.error("event=app_refused app=%s reason=%r", name, why)
        return routed


def _check_head(wire: Any) -> None:
    """Check the parts around the apps; raises before anything has been changed."""
    version, epoch = wire["version"], wire["epoch"]
    if not isinstance(version, int) or not isinstance(epoch, str):
        raise TypeError("version is not a number, or epoch not a text")


def _all_news(bodies: Mapping[str, bytes | None], domain: str) -> dict[str, News]:
    return {name: _news(name, body, domain) for name, body in bodies.items()}


def _news(name: str, body: bytes | None, domain: str) -> News:
    if body is None:
        return None
    found = check_app(orjson.loads(body), domain)
    if isinstance(found, list):
        return "; ".join(map(str, found))
    return found if found.name == name else f"{found.name} appears twice"


def _nameless(named: Mapping[str, bytes], apps: Sequence[Any]) -> str:
    """What is wrong with a delta's changes that name no app; empty if all name one.

    In a whole table such an app is refused by its position, but a position in a delta is nothing
    that a later delta could change or drop.
    """
    theirs = [app.get("name") if isinstance(app, dict) else None for app in apps]
    for key, name in zip(named, theirs, strict=True):
        if key != name:
            return f"{key} has no name of its own; each app of a delta is named, and once"
    return ""


def _named(apps: Iterable[Any], key: str) -> Iterable[tuple[str, bytes]]:
    """Each app's JSON by its name, or by its position if the name is missing or a repetition."""
    seen: set[str] = set()
    for at, app in enumerate(apps):
        name = app.get("name") if isinstance(app, dict) else None
        if not isinstance(name, str) or name in seen:
            name = f"{key}[{at}]"
        seen.add(name)
        yield name, orjson.dumps(app)
