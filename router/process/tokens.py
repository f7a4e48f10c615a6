"""Tokens of the admin port: who may read, who may write, who is a router.

A file of lines `NAME ROLE TOKEN`, role read, write or router; a line with a token alone may write.
Without such a file there is one token, made by the first start in STATE/token: who can read that
file owns the state directory anyway. Files are read again when they change, and a change that
cannot be read leaves the tokens that were.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from router.process.config import BadSettings
from router.process.door import is_loopback
from router.process.state import sync_folder

log = logging.getLogger("turnout")

ROLES = ("read", "write", "router")
_PARTS = 3  # of a line with a name
_BYTES = 32  # of a token that is made here
_NOT_OURS = 0o077  # mode bits of everybody but the owner


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `value` is the secret. The one of the state directory has no name."""

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
        return Token("", "write", words[0])
    if len(words) != _PARTS or words[1] not in ROLES:
        roles = ", ".join(ROLES)
        raise BadSettings(f"{file}:{number}: write NAME ROLE TOKEN, with a role of {roles}")
    return Token(*words)


def path_in(state: Path) -> Path:
    """Where the token of a state directory is."""
    return state / "token"


def make(state: Path) -> Path:
    """The file with the token of a state directory, made if there is none. Raises OSError.

    It appears whole, durably and readable by nobody else, or not at all; when several servers
    start at once, the first one's stays and all use that.
    """
    path = path_in(state)
    if path.exists():
        _tighten(path)
        return path
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, beside = tempfile.mkstemp(dir=state, prefix="token.")  # 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # of a server that started beside us
            os.link(beside, path)
    finally:
        os.unlink(beside)
    sync_folder(state)
    return path


def _tighten(path: Path) -> None:
    """Nobody but the owner may read it, whatever a copy or a restore made of its mode."""
    if path.stat().st_mode & _NOT_OURS:
        path.chmod(0o600)
        log.warning(
            "event=token_was_readable path=%s advice=%r",
            path,
            "others could read it: delete the file and restart to get a new token",
        )


def to_send(server: str, file: str, state: Path, roles: Sequence[str] = ("write", "read")) -> str:
    """The token for a server: the best of a token file, else the state directory's; or nothing.

    The state directory's is for this host: it is never sent to another one. Raises BadSettings.
    """
    for role in roles:
        for token in read(file):
            if token.role == role:
                return token.value
    if file or not _is_here(server):
        return ""
    try:
        return path_in(state).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def kept(find: Callable[[], str]) -> Callable[[], str]:
    """What `find` finds now, or found last while it cannot. Raises BadSettings at first."""
    last = find()

    def now() -> str:
        nonlocal last
        try:
            last = find()
        except BadSettings as error:
            log.error("event=tokens_not_read reason=%r", str(error))
        return last

    return now


def _is_here(server: str) -> bool:
    try:
        return server.startswith("unix:") or is_loopback(urlsplit(server).hostname or "")
    except ValueError:  # not a URL: who calls it says so
        return False


class Tokens:
    """The tokens of an admin port, as they are now."""

    def __init__(self, file: str, state: Path) -> None:
        self._file = file
        self._known: list[Token] = []
        self._trouble = ""
        if not file:
            try:
                self._file = str(make(state))
            except OSError as error:  # the door stays closed; traffic does not depend on it
                log.error("event=no_token path=%s reason=%r", path_in(state), str(error))
                return
        self._known = read(self._file)
        self._stamp = self._stat()

    def find(self, authorization: str) -> Token | None:
        """The token that an Authorization header holds, if it is a known one (RFC 6750 §2.1)."""
        scheme, _, given = authorization.strip().partition(" ")
        return self.holder(given.strip()) if scheme.lower() == "bearer" else None

    def holder(self, secret: str) -> Token | None:
        """The token with this value; every one is compared, in constant time."""
        self._refresh()
        given = secret.encode(errors="surrogateescape")  # as aiohttp decodes what is not UTF-8
        found = None
        for token in self._known:
            if hmac.compare_digest(given, token.value.encode()):
                found = token
        return found

    def known(self) -> Sequence[Token]:
        """All of them."""
        self._refresh()
        return self._known

    def trouble(self) -> str:
        """Why the tokens in force are not those of the file; empty when they are."""
        self._refresh()
        return self._trouble

    def _refresh(self) -> None:
        if not self._known:
            return
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._known, self._trouble = read(self._file), ""
        except BadSettings as error:
            self._trouble = f"the tokens that were known stay in force: {error}"
            log.error("event=tokens_not_read reason=%r", str(error))

    def _stat(self) -> tuple[int, int, int]:
        try:
            stat = Path(self._file).stat()
        except OSError:
            return 0, 0, 0
        return stat.st_mtime_ns, stat.st_ino, stat.st_size
