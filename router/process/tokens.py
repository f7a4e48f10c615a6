"""Tokens of the admin port: which clients may read, which may write, which are routers.

A token file has lines `NAME ROLE TOKEN` with the role read, write or router; a line with a token
alone may write. Without a file there is one token, which the first start makes in STATE/token: a
user that can read this file owns the state directory anyway. Files are read again when they change;
if the new content cannot be read, the tokens from before stay in force.
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
_PARTS = 3  # parts of a line that gives a name
_BYTES = 32  # random bytes in a generated token
_NOT_OURS = 0o077  # mode bits of every user but the owner


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `value` is the secret. The state directory's token has no name."""

    name: str
    role: str
    value: str = field(repr=False)


def read(file: str) -> list[Token]:
    """The tokens in a file; empty if `file` is. Raises BadSettings."""
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
    return state / "token"


def make(state: Path) -> Path:
    """The file with the state directory's token, made if it is missing. Raises OSError.

    The file appears whole, durable and private, or not at all; when several servers start at once,
    the first one's token stays and all use it.
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
        with contextlib.suppress(FileExistsError):  # another server that starts beside us was first
            os.link(beside, path)
    finally:
        os.unlink(beside)
    sync_folder(state)
    return path


def _tighten(path: Path) -> None:
    """Make the file private again, whatever mode a copy or a restore gave it."""
    if path.stat().st_mode & _NOT_OURS:
        path.chmod(0o600)
        log.warning(
            "event=token_was_readable path=%s advice=%r",
            path,
            "others could read it: delete the file and restart to get a new token",
        )


def to_send(server: str, file: str, state: Path, roles: Sequence[str] = ("write", "read")) -> str:
    """The token to send to a server: the best in a token file, else the state directory's, else "".

    The state directory's token is for servers on this host and is never sent to another. Raises
    BadSettings.
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
    """A function that returns what `find` returns, or its last result while `find` fails.

    The first call passes the BadSettings on.
    """
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
    except ValueError:  # not a URL: the caller reports it
        return False


class Tokens:
    """The tokens that are in force at an admin port; follows changes of the file."""

    def __init__(self, file: str, state: Path) -> None:
        self._file = file
        self._known: list[Token] = []
        self._trouble = ""
        if not file:
            try:
                self._file = str(make(state))
            except OSError as error:  # nobody gets in without tokens, but traffic goes on
                log.error("event=no_token path=%s reason=%r", path_in(state), str(error))
                return
        self._known = read(self._file)
        self._stamp = self._stat()

    def find(self, authorization: str) -> Token | None:
        """The token that an Authorization header holds, if it is a known one (RFC 6750 §2.1)."""
        scheme, _, given = authorization.strip().partition(" ")
        return self.holder(given.strip()) if scheme.lower() == "bearer" else None

    def holder(self, secret: str) -> Token | None:
        """The token with this value; compared in constant time with every known one."""
        self._refresh()
        given = secret.encode(errors="surrogateescape")  # as aiohttp decodes what is not UTF-8
        found = None
        for token in self._known:
            if hmac.compare_digest(given, token.value.encode()):
                found = token
        return found

    def known(self) -> Sequence[Token]:
        """Every token in force."""
        self._refresh()
        return self._known

    def trouble(self) -> str:
        """Why the tokens in force are not the file's; empty when they are."""
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
