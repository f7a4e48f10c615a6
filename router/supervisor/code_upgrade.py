"""Reports how an upgrade goes through a file in the state directory, which the CLI reads."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import orjson

from router import __version__
from router.process.state import supervisor_file, write_durably
from router.supervisor import handover

log = logging.getLogger("turnout.router")


class Upgrades:
    """Writes `supervisor.json`: process id, version, when it began, and the last refusal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: dict[str, Any] = {}
        self.is_over = False  # whether this code serves

    def began(self, is_ready: bool) -> None:
        """Called when this code has taken over."""
        self.is_over = True
        self._facts = {
            "pid": os.getpid(),
            "version": __version__,
            "began": time.time(),
            "ready": is_ready,
            "refused": "",
            "refused_at": 0.0,
        }
        self._write()

    async def rehearse(self) -> bool:
        """Whether the installed code would start; if not, the reason is written to the file."""
        wrong = await asyncio.to_thread(handover.rehearse)
        if wrong:
            log.error("event=upgrade_refused reason=%r", wrong)
            self._facts |= {"refused": wrong, "refused_at": time.time()}
            self._write()
        return not wrong

    def _write(self) -> None:
        path = supervisor_file(self._folder)
        try:
            write_durably(path, orjson.dumps(self._facts))
        except OSError as error:  # a read-only root: only `turnout upgrade` needs the file
            log.info("event=supervisor_file_not_written path=%s reason=%r", path, str(error))
