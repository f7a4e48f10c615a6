"""The `turnout` command as a user types it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.support.turnout import run


class Cli:
    """`turnout …` against one server."""

    def __init__(self, server: str) -> None:
        self._server = server

    def process(self, *args: str) -> subprocess.CompletedProcess[str]:
        done = run(*args, server=self._server)
        assert done.returncode == 0, done.stderr
        return done

    def __call__(self, *args: str) -> str:
        return self.process(*args).stdout

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "-o", "json"))

    def fails(self, *args: str, code: int = 1) -> str:
        done = run(*args, server=self._server)
        assert done.returncode == code, done.stdout + done.stderr
        return " ".join(done.stderr.split())
