"""A real Docker Engine, and images made on this machine: nothing is pulled.

An engine that answers is used as it is; else dockerd is started, as root, and ended afterwards.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.turnout import until
from tests.system.conftest import state

__all__ = ["state"]

HERE = Path(__file__).parent
BUSYBOX = "/bin/busybox"
IMAGE = "turnout-test:1"
# Says who it is, in what color, and what its volumes hold; LISTEN is for being wrong about PORT.
APP = """#!/bin/sh
[ -n "$EXIT" ] && { echo "leaving with $EXIT"; exit $EXIT; }
echo "$CONTAINER_APP_REVISION $CONTAINER_APP_REPLICA_NAME ${COLOR:-none}" \\
    "$(cat /secrets/* /shared/* 2>/dev/null)" > /www/index.html
echo "listening on ${LISTEN:-$PORT}"
exec httpd -f -p ${LISTEN:-$PORT} -h /www
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a system test."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


def docker(*args: str, data: bytes | None = None) -> str:
    """The docker command, to its end."""
    done = subprocess.run(["docker", *args], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def answers() -> bool:
    done = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The engine; tests that need it are skipped by name where there can be none."""
    if shutil.which("docker") is None or not Path(BUSYBOX).exists():
        pytest.skip("docker and busybox-static are not installed")
    if answers():
        yield
        return
    if shutil.which("dockerd") is None:
        pytest.skip("no Docker Engine answers")
    log = (tmp_path_factory.mktemp("dockerd") / "log").open("wb")
    process = subprocess.Popen(["dockerd"], stdout=log, stderr=log, start_new_session=True)
    try:
        with contextlib.suppress(AssertionError):
            until(lambda: process.poll() is not None or answers(), timeout_s=60)
        if not answers():
            pytest.skip("dockerd does not start on this machine")
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    """A web server of two megabytes, imported once."""
    return load_image(docker)


def load_image(docker: Callable[..., str]) -> str:
    """Import the image into an engine; `docker` is its command."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in ("sh", "httpd", "sleep", "echo", "cat", "touch", "kill"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for folder in ("www", "tmp"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(info)
        info = tarfile.TarInfo("bin/app")
        info.size, info.mode = len(APP.encode()), 0o755
        tar.addfile(info, io.BytesIO(APP.encode()))
    changes = ("--change", 'CMD ["/bin/app"]', "--change", "EXPOSE 8080")
    docker("import", *changes, "-", IMAGE, data=out.getvalue())
    return IMAGE


@pytest.fixture(autouse=True)
def nothing_is_left(engine: None) -> Iterator[None]:
    """Containers and volumes of a test do not outlive it; strangers' are none of its business."""
    yield
    found = docker("ps", "-aq", "--filter", "label=turnout.replica").split()
    marked = docker("ps", "-aq", "--filter", "label=turnout.enable").split()
    if found or marked:
        docker("rm", "-f", *found, *marked)
    volumes = docker("volume", "ls", "-q", "--filter", "label=turnout.replica").split()
    if volumes:
        docker("volume", "rm", *volumes)
    assert not found, "containers were left behind"
