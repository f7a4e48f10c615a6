"""The `turnout` command as a user types it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.turnout import TURNOUT, environment, run


@contextmanager
def piped(*args: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the test, which reads its output; it does not outlive the block.

    A pipe that a failed test leaves open would fail another one, when it is collected.
    """
    with subprocess.Popen(
        [*TURNOUT, *args],
        env=environment(**settings) | {"COLUMNS": "200", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


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
