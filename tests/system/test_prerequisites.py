"""Nothing is installed behind anybody's back: what apt would install is named, or asked for."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prerequisites import PROGRAMS

PACKAGES = sorted(package for package, _ in PROGRAMS.values())
APT = '#!/bin/sh\necho "$@" >> "$APT_LOG"\n'


@pytest.fixture
def apt_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What apt-get was told, where nothing is installed but apt-get."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "apt-get").write_text(APT)
    (folder / "apt-get").chmod(0o755)
    monkeypatch.setenv("APT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "log"


def run(answer: str | None = None, *before: str, **environ: str) -> str:
    """What it says; with an answer, that is typed at a terminal."""
    command = [*before, sys.executable, "-m", "tests.prerequisites"]
    ours, theirs = pty.openpty()
    if answer is not None:
        os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL if answer is None else theirs, text=True,
        capture_output=True, env={**os.environ, **environ}, check=True, timeout=60,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    return done.stdout + done.stderr


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can install")


@as_root
@pytest.mark.parametrize(("answer", "is_yes"), [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_it_asks(apt_log: Path, answer: str, is_yes: bool) -> None:
    said = run(answer)
    assert all(package in said.partition("?")[0] for package in PACKAGES)
    assert apt_log.exists() is is_yes
    if is_yes:
        assert all(package in apt_log.read_text() for package in PACKAGES)


@as_root
@pytest.mark.parametrize("environ", [{"CI": "true"}, {}])
def test_where_nobody_can_be_asked_it_says_what_it_installs(
    apt_log: Path, environ: dict[str, str]
) -> None:
    said = run(**environ)
    (line,) = [line for line in said.splitlines() if line.startswith("installing")]
    assert all(package in line for package in PACKAGES)
    assert "install" in apt_log.read_text()


def test_without_root_it_only_names_what_is_missing(apt_log: Path) -> None:
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin")
    if os.geteuid() == 0 and setpriv is None:
        pytest.skip("setpriv is not installed")
    before = [str(setpriv), "--reuid=65534"] if os.geteuid() == 0 else []
    said = run("y", *before)
    assert all(package in said for package in PACKAGES)
    assert not apt_log.exists()
