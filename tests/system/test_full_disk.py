"""A disk without a free byte: what is there is served, and written on when there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.turnout import (
    Turnout,
    marked,
    provisioned,
    routes,
    run,
    template,
    until,
)


@pytest.fixture
def disk(state: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = state / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system needs root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def a_control(disk: Path) -> Turnout:
    return Turnout("control", admin="127.0.0.1:0", state=disk / "s").wait_ready()


def fill(disk: Path) -> Path:
    """Take the last byte; the file that has it."""
    path = disk / "fill"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return path


def test_control_starts_on_a_full_disk_and_goes_on_when_there_is_room(
    state: Path, disk: Path
) -> None:
    control = a_control(disk)
    body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
    control.must("PUT", "/v1/apps/shop", body)
    provisioned(control, "shop--v1")
    control.kill()
    (disk / "s" / "control.db-shm").unlink()  # SQLite makes it anew, for which there is no room
    filled = fill(disk)

    again = a_control(disk)
    assert again.call("GET", "/readyz")[0] == 503
    assert "cannot be written" in again.call("GET", "/healthz")[1]
    assert routes(again) == {"shop": {"shop--v1": 1}}
    assert again.call("DELETE", "/v1/apps/shop")[0] == 503

    filled.unlink()
    until(lambda: again.call("GET", "/readyz") == (200, "ready\n"))
    again.must("DELETE", "/v1/apps/shop")
    until(lambda: not marked(state, also=b"TURNOUT_REPLICA="))
    assert again.stop() == 0


def test_a_first_start_on_a_full_disk_says_what_helps(disk: Path) -> None:
    filled = fill(disk)
    done = run("control", admin="127.0.0.1:0", state=disk / "s")
    assert done.returncode in (1, 2)
    assert "restore" not in done.stderr  # there is no backup of what never was
    assert "disk" in done.stderr or "No space left" in done.stderr
    filled.unlink()
    assert a_control(disk).stop() == 0
