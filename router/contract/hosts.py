"""Host names: folding what a client sent into a key, and the names an app answers to.

Pure; `fold` is total: a key or None, never an exception.
"""

from __future__ import annotations

import re
from typing import Final

from router.contract.memo import Memo

# reg-name without sub-delims and percent-escapes (no DNS name has them), or an IPv6 literal;
# RFC 9110 §7.2 and RFC 3986 §3.2.2. An empty port is legal (RFC 3986 §3.2.3).
_HOST: Final = re.compile(
    rb"([0-9a-z_~-]+(?:\.[0-9a-z_~-]+)*)\.?(?::([0-9]{0,5}))?"
    rb"|(\[[0-9a-f:.]{2,45}\])(?::([0-9]{0,5}))?",
    re.IGNORECASE,
)

# The names that hosts are made of. ASCII and fullmatch on purpose: other alphabets' digits and a
# trailing newline fail. No name holds "--", so a host can be parsed in one way only.
APP_NAME: Final = re.compile(r"(?=.{1,32}\Z)[a-z]((?!.*--)[-a-z0-9]*[a-z0-9])?", re.ASCII)
LABEL: Final = re.compile(r"[a-z](?!.*--)([a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
# Looser than what new names must be: generated suffixes may begin with a digit.
ANY_SUFFIX: Final = re.compile(r"[a-z0-9](?!.*--)([a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
NAME_RULE: Final = "at most {} of a-z, 0-9 and single dashes, a letter first, no dash last"
MAX_DNS_LABEL: Final = 63

_LONGEST: Final = 262  # 255 octets of name, ":" and five digits of port
# By Host value as received, at most 2 MB. A hit costs a tenth of the regular expression.
_folded: Final[Memo[bytes | None]] = Memo(most=4096, longest=128)
_KNOWN: Final = _folded.known


def fold(raw: bytes) -> bytes | None:
    """The look-up key of a Host value: lower case, without port and trailing dot.

    None when the value is not a valid host; the request is then refused with 400.
    """
    try:
        return _KNOWN[raw]
    except KeyError:
        return _folded.keep(raw, _fold(raw))


def _fold(raw: bytes) -> bytes | None:
    match = _HOST.fullmatch(raw) if len(raw) <= _LONGEST else None
    if match is None:
        return None
    name, port, literal, literal_port = match.groups()
    number = port or literal_port
    if number and int(number) > 65535:
        return None
    return bytes((name or literal).lower())


def app_host(app: str, domain: str) -> str:
    """`APP.DOMAIN`: the weights choose the revision."""
    return f"{app}.{domain}"


def revision_host(revision: str, domain: str) -> str:
    """`APP--SUFFIX.DOMAIN`: always that revision, whose name already is `APP--SUFFIX`."""
    return f"{revision}.{domain}"


def label_host(app: str, label: str, domain: str) -> str:
    """`APP---LABEL.DOMAIN`: the revision with the label; weights do not count."""
    return f"{app}---{label}.{domain}"


def parse_name(first_label: str) -> tuple[str, str, str]:
    """What a first DNS label names: `(kind, app, rest)` with kind app, label or revision.

    No app, suffix or label holds `--`, so the split is unambiguous; `---` is looked for first
    because it contains `--`.
    """
    app, dashes, label = first_label.partition("---")
    if dashes:
        return "label", app, label
    app, dashes, suffix = first_label.partition("--")
    if dashes:
        return "revision", app, suffix
    return "app", first_label, ""
