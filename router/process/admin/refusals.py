"""The requests that an admin port refuses, and what each is told. The rules are in door.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from router.process import door
from router.process.config import BadSettings, split_address
from router.process.tokens import Token, Tokens

OPEN_PATHS = ("/healthz", "/readyz", "/metrics")
QUOTED = 80  # characters of a client's value that a refusal repeats
_UNKNOWN = (
    "The token that was sent is not one of this server's. It knows those of its --token-file, or"
    " the one in the file token of its state directory; one that was replaced counts no more."
)
_WHO = (
    "No token was sent. Send one (Authorization: Bearer TOKEN). Without a --token-file it is the"
    " one in the file token of the server's state directory; the turnout command finds it there"
    " (TURNOUT_STATE names the directory), or takes --token or TURNOUT_TOKEN."
)
_TOO_LITTLE = {
    "read": "The token %s may only read; this needs the role write.",
    "router": "The token %s is a router's, for POST /v1/sync only; this needs read or write.",
}
_OTHER_HOST = (
    "The request is for the host %s, which is not this one. If it is meant to be, add the name to"
    " the setting admin_hosts (TURNOUT_ADMIN_HOSTS)."
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is not let through; `code` is Azure's word for the reason."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, dict[str, str]]:
        """The body in the form that Azure's clients expect."""
        return {"error": {"code": self.code, "message": self.message}}


class Guarded(Protocol):
    """Settings that decide who may use an admin port."""

    @property
    def state(self) -> Path:
        """The state directory, which holds the token when `token_file` is empty."""

    @property
    def token_file(self) -> str:
        """The file of tokens, or an empty string."""

    @property
    def admin(self) -> str:
        """The address of the admin port."""

    @property
    def admin_hosts(self) -> tuple[str, ...]:
        """Further host names by which clients reach the port."""

    @property
    def protect_metrics(self) -> bool:
        """Whether /metrics and /readyz need a token, too."""


def tokens_of(settings: Guarded) -> Tokens:
    """The tokens of the token file, or else the state directory's own. Raises BadSettings."""
    if not settings.token_file and not door.is_loopback(listen_host(settings)):
        raise BadSettings(
            f"admin: {settings.admin} can be reached from outside; give a --token-file"
        )
    return Tokens(settings.token_file, settings.state)


def listen_host(settings: Guarded) -> str:
    """The host part of the admin address."""
    if settings.admin.startswith("unix:"):
        return "localhost"
    return split_address(settings.admin, "admin")[0].lower()


def known_hosts(settings: Guarded) -> Collection[str]:
    """The names a Host field may hold, beside loopback names and the port's own address."""
    return {*map(door.host_in, settings.admin_hosts), listen_host(settings)}


def open_paths(settings: Guarded) -> Collection[str]:
    """Paths that need no token."""
    return ("/healthz",) if settings.protect_metrics else OPEN_PATHS


def of_a_page(
    hosts: Sequence[str],
    origins: Sequence[str],
    sites: Sequence[str],
    *,
    known: Collection[str],
    sockname: object,
) -> Refusal | None:
    """Refuse a request that another site's web page made a browser send; None lets it pass.

    Decided by the Host, Origin and Sec-Fetch-Site fields and by the address the request arrived at.
    """
    here = str(sockname[0]).partition("%")[0] if isinstance(sockname, tuple) else ""
    if not door.is_known_host(hosts, known, here):
        named = ", ".join(hosts)[:QUOTED] or "nothing"
        return Refusal(421, "MisdirectedRequest", _OTHER_HOST % named)
    if door.is_foreign(hosts[0], origins, sites):
        return Refusal(403, "ForeignOrigin", "Pages of another origin may not use this port.")
    return None


def without_token(*, is_sent: bool) -> Refusal:
    """Refuse a request whose token is missing or unknown (RFC 6750 §3.1)."""
    if is_sent:
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return Refusal(401, "InvalidAuthenticationToken", _UNKNOWN, headers)
    return Refusal(401, "AuthenticationFailed", _WHO, {"WWW-Authenticate": "Bearer"})


def beyond_its_role(
    token: Token, method: str, path: str, *, is_trial: bool = False
) -> Refusal | None:
    """Refuse a request that the token's role does not allow."""
    if door.may(token.role, method, path, is_trial=is_trial):
        return None
    return Refusal(403, "AuthorizationFailed", _TOO_LITTLE[token.role] % token.name)
