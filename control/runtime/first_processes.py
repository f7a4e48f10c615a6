"""Records the first process of each replica: one small file each, beside the store.

A program may overwrite its environment (programs that set the title `ps` shows do) and with it the
marks. The file still identifies the process: its number, when it began, and the boot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from control.model.clock import boot_id
from control.runtime.marks import Marked, began
from router.process.state import make_private, open_private


class _Kept(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    instance: str
    boot: str
    pid: int
    replica: str
    uid: str
    port: str
    began: int


class FirstProcesses:
    """The files of one store's replicas."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._ours = {"instance": instance, "boot": boot_id()}

    def note(self, replica: str, pid: int, uid: str, port: int) -> None:
        """Write down a replica's first process; if that fails, the marks have to do."""
        first = Marked(pid, replica, uid, str(port), began(pid), is_leader=True)
        with contextlib.suppress(OSError):
            make_private(self._folder)
            with open_private(self._folder / replica, "w") as file:
                file.write(orjson.dumps(asdict(first) | self._ours).decode())

    def forget(self, replica: str) -> None:
        """Remove the file of a replica that has ended."""
        with contextlib.suppress(OSError):
            (self._folder / replica).unlink(missing_ok=True)

    def of(self, replica: str) -> Marked | None:
        """The process that was written down, whether it still runs or not."""
        try:
            kept = _Kept.model_validate_json((self._folder / replica).read_bytes())
        except (OSError, ValueError):
            return None
        if {"instance": kept.instance, "boot": kept.boot} != self._ours or kept.replica != replica:
            return None
        return Marked(kept.pid, replica, kept.uid, kept.port, kept.began, is_leader=True)

    def running(self) -> Iterator[Marked]:
        """All written-down processes that still run."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except OSError:
            return
        for name in names:
            first = self.of(name)
            if first is not None and first.began and began(first.pid) == first.began:
                yield first
