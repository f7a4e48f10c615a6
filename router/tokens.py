"""Tokens of the admin port: who may read, who may write (product.md §3).

A file of lines `NAME ROLE TOKEN`, role read or write; a line with a token alone may write. It is
read again when it changes, and a change that cannot be read leaves the tokens that were.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field
from pathlib import Path

from router.config import BadSettings

log = logging.getLogger("turnout")

_ROLES = ("read", "write")
_PARTS = 3  # of a line with a name


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `value` is the secret."""

    name: str
    role: str
    value: str = field(repr=False)


def read(file: str) -> list[Token]:
    """The tokens in a file; empty without a file. Raises BadSettings."""
    if not file:
        return []
    try:
        lines = Path(file).read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {file}: {error}") from None
    tokens = [
        _token(file, number, line.split())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if not tokens:
        raise BadSettings(f"{file} holds no token; write lines of NAME ROLE TOKEN")
    return tokens


def _token(file: str, number: int, words: list[str]) -> Token:
    if len(words) == 1:
        return Token("token", "write", words[0])
    if len(words) != _PARTS or words[1] not in _ROLES:
        raise BadSettings(f"{file}:{number}: write NAME ROLE TOKEN, with role read or write")
    return Token(*words)


class Tokens:
    """The tokens of a file, as it is now."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._known = read(file)
        self._stamp = self._stat()

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self, authorization: str) -> Token | None:
        """Whose an Authorization header is; every token is compared, in constant time."""
        self._refresh()
        given = authorization.removeprefix("Bearer ").encode()
        found = None
        for token in self._known:
            if hmac.compare_digest(given, token.value.encode()):
                found = token
        return found

    def _refresh(self) -> None:
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._known = read(self._file)
        except BadSettings as error:
            log.error("event=tokens_not_read reason=%r", str(error))

    def _stat(self) -> tuple[int, int, int]:
        if not self._file:
            return 0, 0, 0
        try:
            stat = Path(self._file).stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_ino, stat.st_size
