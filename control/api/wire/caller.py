"""Reads the caller of a change from the request, and answers changes and dry runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from control.api.wire.problems import reply
from control.changes.dry_run import Previews
from control.history.caller import Caller
from router.process.guard import TOKEN

T = TypeVar("T")


def answer(done: T | Previews, show: Callable[[T], web.Response]) -> web.Response:
    """The answer to a change; for a dry run (`dryRun=true`), what the change would do."""
    return reply(done.wire()) if isinstance(done, Previews) else show(done)


def caller_of(request: web.Request) -> Caller:
    """The caller, and the conditions under which the change is to be made."""
    agent = _agent(_text(request, "User-Agent"))
    who = _text(request, "X-Turnout-User")[:80]
    name = f"{who} ({agent})" if who else agent
    token = request.get(TOKEN)
    if token is not None and token.name:  # anything else is what the client claims about itself
        name = f"{token.name}: {name}"
    return Caller(
        name,
        _text(request, "X-Turnout-Note")[:500],
        if_match=_text(request, "If-Match"),
        if_none_match=_text(request, "If-None-Match"),
        is_dry_run=request.query.get("dryRun", "").lower() == "true",
    )


def _text(request: web.Request, name: str) -> str:
    return as_text(", ".join(request.headers.getall(name, ())))


def as_text(raw: str) -> str:
    """A header's value as aiohttp read it, without what cannot be encoded or printed."""
    text = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _agent(header: str) -> str:
    """The product that a person would name; az puts Python's before its own."""
    words = header.split(" ")
    found = next((word for word in words if word.startswith("AZURECLI/")), words[0])
    return found[:80] or "unknown"
