"""The last good table on disk, so that a router serves before its control plane answers.

Two files: `table.json` is a whole table, `table.log` holds the deltas since, one a line. A change
appends its delta, so it costs what it is long and not what the table is. A crash at any moment
leaves a table that was complete: a torn line is the last one and is left out, and a log that is
older than its table does not begin from it. The log is folded into the table when it has outgrown
it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import orjson

from router.process.state import open_private, sync_folder, write_durably
from router.sources.received import Received

log = logging.getLogger("turnout.router")

_LEAST_LOG_BYTES = 1 << 20  # a smaller log is not folded, however small the table is


class LastGood:
    """The last good table of one router, in two files."""

    def __init__(self, folder: Path) -> None:
        self._table = folder / "table.json"
        self._log = folder / "table.log"
        self._table_bytes = 0
        self._log_bytes = 0
        self._is_whole = False  # whether `append` may build on what the files hold

    def load(self) -> Received:
        """The table that was kept last; empty if there is none or it cannot be read."""
        received = Received()
        try:
            content = self._table.read_bytes()
        except FileNotFoundError:
            return received
        except OSError as error:
            log.error("event=last_good_unreadable path=%s reason=%r", self._table, str(error))
            return received
        wrong = _take(received, content)
        if wrong:
            log.error("event=last_good_unreadable path=%s reason=%r", self._table, wrong)
            return Received()
        self._table_bytes = len(content)
        self._is_whole = self._replay(received)
        return received

    def _replay(self, received: Received) -> bool:
        """Take the deltas of the log in order; returns whether all of them could be taken."""
        try:
            content = self._log.read_bytes()
        except FileNotFoundError:
            return True
        except OSError as error:
            log.error("event=last_good_unreadable path=%s reason=%r", self._log, str(error))
            return False
        self._log_bytes = len(content)
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n") or _take(received, line):
                return False
        return True

    def keep(self, whole: bytes) -> None:
        """Replace the table durably. Raises OSError."""
        self._is_whole = False
        write_durably(self._table, whole)
        # if it stays after a crash, its first line does not fit the new table
        self._log.unlink(missing_ok=True)
        self._table_bytes, self._log_bytes, self._is_whole = len(whole), 0, True

    def append(self, delta: Any) -> bool:
        """Add a decoded delta durably; False when the whole table must be kept. Raises OSError.

        It is encoded anew, on one line: a control plane may spread its JSON over several.
        """
        line = orjson.dumps(delta, option=orjson.OPT_APPEND_NEWLINE)
        limit = max(_LEAST_LOG_BYTES, self._table_bytes)
        if not self._is_whole or self._log_bytes + len(line) > limit:
            return False
        self._is_whole = False  # until the line is complete, nothing may be appended behind it
        with open_private(self._log, "ab") as file:
            file.write(line)
            file.flush()
            os.fdatasync(file.fileno())
        if not self._log_bytes:
            sync_folder(self._log.parent)
        self._log_bytes += len(line)
        self._is_whole = True
        return True


def _take(received: Received, content: bytes) -> str:
    try:
        return received.take(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        return f"it is not valid JSON: {error}"
