"""The real docker-compose, on one project of a test's own."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path


class Compose:
    """`docker-compose …` for some files; all of it is gone at the end."""

    def __init__(self, *files: Path, **variables: str) -> None:
        self.project = f"test{secrets.token_hex(4)}"
        self.variables = variables
        flags = [x for file in files for x in ("-f", str(file))]
        self._command = ["docker-compose", "-p", self.project, *flags]

    def __enter__(self) -> Compose:
        return self

    def __exit__(self, *_: object) -> None:
        self("down", "-v", "-t", "1", "--remove-orphans")

    def __call__(self, *args: str) -> str:
        """One command, to its end."""
        done = subprocess.run(
            [*self._command, *args],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def container(self, service: str) -> str:
        """Id of the first container of a service."""
        return self("ps", "-q", service).splitlines()[0]

    def url(self, service: str, port: int) -> str:
        """Where a port of it is published."""
        return "http://127.0.0.1:" + self("port", service, str(port)).rpartition(":")[2]
