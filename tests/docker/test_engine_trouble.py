"""An engine that restarts, or has no room: said, survived, and over when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.conftest import load_image
from tests.docker.engines import Engine
from tests.docker.test_runtime import body
from tests.support.load import Load
from tests.support.turnout import Turnout, provisioned, until

FLAGS = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
QUICK = {"restart_backoff_s": 0.2, **FLAGS}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False, capture_output=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 65536):
            pass
    return filler


def test_a_full_disk_is_named_and_one_call_tries_again(
    small_disk: Path, tmp_path: Path, state: Path
) -> None:
    with (
        Engine(tmp_path, data=small_disk) as own,
        own.entered(),
        Turnout(
            "up", state=state / "s", docker_host=own.host, restart_backoff_s=0.2, **FLAGS
        ) as up,
    ):
        load_image(own.docker)
        up.must("PUT", "/v1/apps/web", body("v1", "turnout-test:1"))
        provisioned(up, "web--v1")
        filler = fill(small_disk)
        up.must("PUT", "/v1/apps/web", body("v2", "turnout-test:1"))
        v2 = "/v1/apps/web/revisions/web--v2"
        shown = until(lambda: (r := up.must("GET", v2))["provisioningState"] == "Failed" and r)
        assert "no space left on device" in shown["provisioningError"]
        assert "web--v1" in up.get("web.localhost")[2]
        filler.unlink()
        up.must("POST", f"{v2}/activate")
        until(lambda: "web--v2" in up.get("web.localhost")[2])
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not own.docker("ps", "-aq"))


async def test_discovery_keeps_its_table_while_the_engine_restarts(
    tmp_path: Path, state: Path
) -> None:
    with Engine(tmp_path, "--live-restore") as own, own.entered():
        load_image(own.docker)
        own.docker("network", "create", "apps")
        labels = {"enable": "true", "app": "web", "revision": "v1", "port": "8080",
                  "probe.interval": "200ms"}  # fmt: skip
        given = [x for k, v in labels.items() for x in ("--label", f"turnout.{k}={v}")]
        run = ["run", "-d", "--network", "apps", "-e", "PORT=8080", *given]
        own.docker(*run, "-e", "CONTAINER_APP_REVISION=one", "turnout-test:1")
        with Turnout(
            "router",
            "--docker",
            state=state / "s",
            docker_host=own.host,
            docker_resync_s=1,
            **FLAGS,
        ) as router:

            def page() -> str:
                return router.get("web.localhost")[2]

            await asyncio.to_thread(until, lambda: "one" in page())
            load = Load(router.port, "web.localhost", 200)
            flowing = asyncio.create_task(load.run())
            own.kill()
            # a resync fails meanwhile
            await asyncio.to_thread(router.read_until, b"event=engine_away")
            await asyncio.to_thread(own.start)
            newer = "CONTAINER_APP_REVISION=two"
            await asyncio.to_thread(own.docker, *run, "--label", "turnout.revision=v2", "-e", newer,
                                    "turnout-test:1")  # fmt: skip
            await asyncio.to_thread(until, lambda: "two" in page())
            load.stop()
            outcome = await flowing
    assert outcome.sent > 50
    assert not outcome.failures, outcome
