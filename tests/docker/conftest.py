"""A real Docker Engine of the tests' own, and images made on this machine: nothing is pulled.

Whatever other engine answers on this machine, and what it runs, is none of the tests' business.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker.engines import Engine
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
    """The docker command, to its end, asked of the tests' own engine."""
    done = subprocess.run(["docker", *args], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine; tests that need it are skipped by name where there can be none."""
    if not Path(BUSYBOX).exists():
        pytest.skip("busybox-static is not installed")
    with pytest.MonkeyPatch.context() as given:
        with Engine(tmp_path_factory.mktemp("engine")) as engine:
            given.setenv("DOCKER_HOST", engine.host)
            given.setenv("DOCKER_CONFIG", str(engine.root))  # a login is kept there
            yield engine


@pytest.fixture(autouse=True)
def inside(engine: Engine) -> Iterator[None]:
    """Tests reach containers at their addresses, and published ports, in the engine's network."""
    with engine.entered():
        yield


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
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
def nothing_is_left(inside: None) -> Iterator[None]:
    """Containers and volumes of a test do not outlive it."""
    yield
    found = docker("ps", "-aq", "--filter", "label=turnout.replica").split()
    if every := docker("ps", "-aq").split():
        docker("rm", "-f", *every)
    if volumes := docker("volume", "ls", "-q", "--filter", "label=turnout.replica").split():
        docker("volume", "rm", *volumes)
    assert not found, "containers were left behind"
