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

_LEAST_LOG_BYTES = 1 << 20  # a log below this is not folded, however small the table


class LastGood:
    """The files of one router."""

    def __init__(self, folder: Path) -> None:
        self._table = folder / "table.json"
        self._log = folder / "table.log"
        self._table_bytes = 0
        self._log_bytes = 0
        self._is_whole = False  # whether both files are what `keep` may go on from

    def load(self) -> Received:
        """The last table that was kept; an empty one when there is none or it cannot be read."""
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
        """Take the deltas of the log as far as they go; whether that was to its end."""
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
        """Replace the table, durably. Raises OSError."""
        self._is_whole = False
        write_durably(self._table, whole)
        self._log.unlink(missing_ok=True)  # should it stay, its first line does not fit any more
        self._table_bytes, self._log_bytes, self._is_whole = len(whole), 0, True

    def append(self, delta: Any) -> bool:
        """Add a decoded delta, durably; False when the whole table has to be kept. Raises OSError.

        It is written as we spell it: a control plane may spread its JSON over lines.
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
