"""Who may use an admin port: rules on the fields of a request, without I/O.

A web page in a browser on this host reaches the port, too. It cannot send a token it does not
know, but it could make the browser send one, write without being allowed to read the answer, or
give itself a host name that leads here (DNS rebinding): so Host, Origin and the type of a body
count as well.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence

SYNC = ("POST", "/v1/sync")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_JSON = re.compile(r"application/([\w.+-]+\+)?json")
_SAME_SITE = ("same-origin", "none")  # "none": the user typed the address, or no page was involved


def host_in(authority: str) -> str:
    """The host in a Host field, in lower case and without brackets; empty if malformed."""
    found = _HOST.fullmatch(authority.strip())
    return found[1].strip("[]").lower().removesuffix(".") if found else ""


def is_loopback(host: str) -> bool:
    """Whether a name or address always means this machine, without asking a resolver."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_known_host(fields: Sequence[str], known: Collection[str], local: str) -> bool:
    """Whether the Host fields name this port: by a loopback name, `known` or its own address.

    `local` is the address that the client connected to.
    """
    if len(fields) != 1:
        return False
    host = host_in(fields[0])
    return host != "" and (is_loopback(host) or host in known or _is_same(host, local))


def _is_same(host: str, local: str) -> bool:
    """Whether `host` is the address `local`, in any notation, also IPv4 mapped into IPv6."""
    try:
        one, other = ipaddress.IPv6Address(_mapped(host)), ipaddress.IPv6Address(_mapped(local))
    except ValueError:
        return False
    return one == other


def _mapped(address: str) -> str:
    return address if ":" in address else f"::ffff:{address}"


def is_foreign(host: str, origins: Sequence[str], sites: Sequence[str]) -> bool:
    """Whether a page of another origin than `host` (a Host field) sent the request.

    Browsers say so in Origin (RFC 6454 §7; `null` is nobody's) and in Sec-Fetch-Site.
    """
    if any(site.strip().lower() not in _SAME_SITE for site in sites):
        return True
    return any(o.strip().lower().partition("://")[2] != host.strip().lower() for o in origins)


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON; a page needs a preflight to send it to another site."""
    return _JSON.fullmatch(content_type.partition(";")[0].strip().lower()) is not None


def may(role: str, method: str, path: str, *, is_trial: bool) -> bool:
    """Whether a role allows a request; `is_trial` is true for a dryRun, which changes nothing."""
    if role == "write":
        return True
    if role == "router":
        return (method, path) == SYNC
    tries = is_trial and method in ("PUT", "PATCH") and path.startswith("/v1/")
    return method in ("GET", "HEAD") or tries
