"""How a browser signs in: a token, or a code that works once, becomes a cookie and its proof.

The cookie is `HttpOnly`, so no script reads it, and it holds no token: it is signed with one, dies
with it, and outlives a restart of the control plane without being kept anywhere. Browsers send
cookies of a host to all its ports, so another program on this host may see it; by itself it opens
nothing. What the page sends beside it, the proof, lies in storage that belongs to one origin, port
included. Whoever has only one of both is nobody.

Pure, but for the clock.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from router.process.tokens import Token

_COOKIE = "turnout_session"
PROOF = "X-Turnout-Session"  # also `session` in the query: an EventSource sends no fields
LIFETIME_S = 12 * 3600
_CODE_S = 3600.0  # from the line in the terminal to the click
_MOST_CODES = 100
_PARTS = 3
_LONGEST = 200
_MOST_COOKIES = 8  # of our name in one request


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser is given."""

    cookie: str
    proof: str


def begin(token: Token, now: float) -> Session:
    """A session in the name of a token."""
    head = f"{int(now) + LIFETIME_S}.{secrets.token_urlsafe(16)}"
    return Session(f"{head}.{_signed(token, 'cookie', head)}", _signed(token, "proof", head))


def cookie_name(host: str) -> str:
    """What the cookie is called at a Host.

    Browsers keep one cookie of a name for all ports, so servers on two ports would sign each
    other's users out.
    """
    port = host.rpartition(":")[2]
    return f"{_COOKIE}_{port}" if port.isascii() and port.isdigit() else _COOKIE


def cookies_in(fields: Iterable[str], host: str) -> Iterator[str]:
    """The values of the cookie in a request's Cookie fields.

    Any program on this host may set one of our name and another path, and browsers send all.
    """
    wanted = f"{cookie_name(host)}="
    pairs = (pair.strip() for field in fields for pair in field.split(";"))
    return islice((p.removeprefix(wanted) for p in pairs if p.startswith(wanted)), _MOST_COOKIES)


def holder(tokens: Sequence[Token], cookies: Iterable[str], proof: str, now: float) -> Token | None:
    """In whose name a request with such a cookie and this proof comes; None for nobody's."""
    return next((t for c in cookies if (t := _holder(tokens, c, proof, now)) is not None), None)


def _holder(tokens: Sequence[Token], cookie: str, proof: str, now: float) -> Token | None:
    parts = cookie.split(".")
    if len(cookie) > _LONGEST or len(parts) != _PARTS or not cookie.isascii():
        return None
    expiry, nonce, _ = parts
    if not expiry.isdigit() or not now < int(expiry) <= now + LIFETIME_S + 1:
        return None
    head, found = f"{expiry}.{nonce}", None
    for token in tokens:
        is_cookie = _is_same(cookie, f"{head}.{_signed(token, 'cookie', head)}")
        is_proof = _is_same(proof, _signed(token, "proof", head))
        if is_cookie and is_proof:
            found = token
    return found


def _signed(token: Token, what: str, head: str) -> str:
    return hmac.new(token.value.encode(), f"turnout {what} {head}".encode(), "sha256").hexdigest()


def _is_same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), right.encode())


class Codes:
    """Codes that sign in once: a link can hold one, and is worth nothing when it was followed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._open: dict[str, tuple[float, Token]] = {}

    def make(self, token: Token) -> str:
        """A code that signs in as `token`; the oldest makes room."""
        now = self._now()
        self._open = {c: made for c, made in self._open.items() if now - made[0] < _CODE_S}
        while len(self._open) >= _MOST_CODES:
            del self._open[next(iter(self._open))]
        code = secrets.token_urlsafe(24)
        self._open[code] = (now, token)
        return code

    def take(self, code: str) -> Token | None:
        """Whom a code is for; it is spent by that."""
        made, token = self._open.pop(code, (0.0, None))
        return token if token is not None and self._now() - made < _CODE_S else None
