"""The state directory: readable by its owner alone, and no crash leaves half a file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from pathlib import Path
from typing import IO, Any

from router.process.config import BadSettings

_FOLDER, _FILE = 0o700, 0o600
# a full disk must not stop a start: what is there can be served, and the store reports it
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Every file that turnout left in a state directory while it still made it readable by everybody.
_OURS = {
    "azure", "control.db", "control.db-shm", "control.db-wal", "control.db.lock", "logs", "router",
    "router.sock", "run", "sync.sock", "token", "up.lock",
}  # fmt: skip


def make_private(folder: Path) -> None:
    """Make a directory and its missing parents, accessible to the owner alone. Raises OSError."""
    for missing in reversed([f for f in (folder, *folder.parents) if not f.exists()]):
        missing.mkdir(mode=_FOLDER, exist_ok=True)


def tighten(folder: Path) -> None:
    """Make a state directory private that an older turnout left readable by everybody.

    The directory must be ours, not a link, and hold only files that turnout makes. A directory open
    to a group but not to everybody was set up so on purpose and is left alone.
    """
    with contextlib.suppress(OSError):  # missing, or not ours to change
        status = folder.lstat()
        mode = status.st_mode
        is_plain = stat.S_ISDIR(mode) and not mode & (stat.S_ISVTX | stat.S_ISGID)
        is_ours = status.st_uid == os.geteuid() and {e.name for e in folder.iterdir()} <= _OURS
        if is_plain and is_ours and mode & stat.S_IRWXO:
            folder.chmod(mode & _FOLDER)


def prepare(state: Path) -> None:
    """Make the state directory if it is missing. Raises BadSettings when it is not writable."""
    try:
        make_private(state)
        tighten(state)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        if error.errno in _FULL:
            return
        raise BadSettings(
            f"state: {state} cannot be written ({error.strerror}); "
            "make it a directory that can, or give another --state"
        ) from None


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file for writing; a new file is accessible to its owner alone. Raises OSError."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, _FILE))


def lock_alone(path: Path, state: Path, what: str) -> IO[str]:
    """Lock a file until it is closed. Raises BadSettings when another process holds the lock."""
    lock = open_private(path, "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if not isinstance(error, BlockingIOError):
            raise
        raise BadSettings(
            f"state: another {what} uses {state}; stop it or give another --state"
        ) from None
    return lock


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file so that a crash at any moment leaves the old content or the new."""
    make_private(path.parent)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)  # a crash may have left one, with another mode
    with open_private(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a directory's entries durable, which fsync of a file does not. Raises OSError."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def supervisor_file(folder: Path) -> Path:
    """The file in which a router's supervisor describes itself."""
    return folder / "supervisor.json"
