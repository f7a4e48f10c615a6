"""Lists in pages: a bounded number of items, and where the next page is.

A page begins behind a key, not at a number: items that come and go between two pages then neither
hide others nor show them twice.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from aiohttp import web

from control.api.wire.problems import reply
from control.model.errors import Invalid

DEFAULT = 500
MOST = 1000  # rendering more would hold up every other caller
_MAX_DIGITS = 9
_MAX_TOKEN = 1024

T = TypeVar("T")
V = TypeVar("V")

log = logging.getLogger("turnout.control")


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that is asked for: at most `limit` items behind the key `after`."""

    limit: int = DEFAULT
    after: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Window:
        """The window in `?limit=&after=`. Raises Invalid."""
        return cls(limit_of(query, "limit"), query.get("after", ""))

    @classmethod
    def of_arm(cls, query: Mapping[str, str]) -> Window:
        """The window in Azure's `$top` and `$skipToken`, written in any case. Raises Invalid."""
        folded = {name.lower(): value for name, value in query.items()}
        return cls(limit_of(folded, "$top"), _decoded(folded.get("$skiptoken", "")))

    @property
    def token(self) -> str:
        """The key as a `$skipToken`; the SDK quotes it again, so nothing in it may need quoting."""
        return base64.urlsafe_b64encode(self.after.encode()).decode().rstrip("=")


def limit_of(query: Mapping[str, str], name: str, default: int = DEFAULT) -> int:
    """The size of a page, within bounds. Raises Invalid."""
    text = query.get(name, str(default))
    is_number = text.isascii() and text.isdigit()
    if not is_number or int(text[:_MAX_DIGITS]) == 0:
        raise Invalid(f"{name}: {text[:20]!r} is not a number from 1 to {MOST}")
    return min(int(text[:_MAX_DIGITS]), MOST)


def _decoded(token: str) -> str:
    try:
        if len(token) > _MAX_TOKEN:
            raise ValueError
        return base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise Invalid("$skipToken: not one that a nextLink of this API has") from None


def cut(items: Iterable[T], key: Callable[[T], str], window: Window) -> tuple[list[T], str]:
    """A page of items that are ordered by key, and the key of its last item.

    The key is empty on the last page.
    """
    page: list[T] = []
    for item in items:
        if window.after and key(item) <= window.after:
            continue
        if len(page) == window.limit:
            return page, key(page[-1])
        page.append(item)
    return page, ""


def shown(items: Iterable[T], show: Callable[[T], V]) -> list[V]:
    """Each item in its shown form; an item that cannot be shown is left out, and only that one."""
    found = []
    for item in items:
        try:
            found.append(show(item))
        except Exception:
            log.exception("event=not_shown")
    return found


def listed(
    request: web.Request,
    items: Iterable[T],
    key: Callable[[T], str],
    show: Callable[[T], object],
    name: str = "value",
    more: Mapping[str, Any] = MappingProxyType({}),
) -> web.Response:
    """A page of a list of the native API; `more` is added beside it."""
    window = Window.of(request.query)
    page, after = cut(items, key, window)
    body: dict[str, Any] = {name: shown(page, show), **more}
    if after:
        body["nextLink"] = link(request, limit=str(window.limit), after=after)
    return reply(body)


def link(request: web.Request, **changed: str) -> str:
    """The request's own URL with changed parameters; absolute, as the client reaches us."""
    names = {name.lower() for name in changed}
    kept = {name: value for name, value in request.query.items() if name.lower() not in names}
    return f"{origin_of(request)}{request.rel_url.with_query(kept | changed)}"


def origin_of(request: web.Request) -> str:
    """Scheme and host as the client wrote them, since it must reach the URLs we make."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme)
    return f"{scheme if scheme in ('http', 'https') else request.scheme}://{request.host}"
