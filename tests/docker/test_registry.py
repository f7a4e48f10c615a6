"""Images from a registry that asks for a password: a real one, on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.conftest import docker
from tests.docker.test_runtime import an_up, body, containers
from tests.support.turnout import Turnout, provisioned, until

PASSWORD = "pull-me"
# htpasswd -nbB puller pull-me
HTPASSWD = "puller:$2y$05$UewVYfVJSTSyPMU8hcK5UO6anyKKSSYV4OwUgKZbVucZSxzQd/yHm\n"


@pytest.fixture
def registry(inside: None, tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of a registry; engines take those of 127.0.0.0/8 without TLS."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    settings = {
        "STORAGE": "filesystem",
        "STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "images"),
        "HTTP_ADDR": "127.0.0.1:0",
        "AUTH_HTPASSWD_REALM": "test",
        "AUTH_HTPASSWD_PATH": str(tmp_path / "htpasswd"),
    }
    (tmp_path / "config.yml").write_text("version: 0.1\n")
    log = tmp_path / "registry.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "config.yml")],
            env={**os.environ, **{f"REGISTRY_{k}": v for k, v in settings.items()}},
            stdout=file,
            stderr=file,
        )
    try:
        found = until(lambda: re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text()))
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def pushed(registry: str, image: str) -> Iterator[str]:
    """An image that only the registry has."""
    name = f"{registry}/team/web:1"
    docker("login", "-u", "puller", "-p", PASSWORD, registry)
    docker("tag", image, name)
    docker("push", name)
    docker("logout", registry)
    docker("rmi", name)
    yield name
    docker("rmi", "-f", name)


def given(image: str, password: str) -> dict[str, Any]:
    registry = image.partition("/")[0]
    wanted = body("v1", image)
    wanted["configuration"] |= {
        "secrets": [{"name": "registry", "value": password}],
        "registries": [{"server": registry, "username": "puller", "passwordSecretRef": "registry"}],
    }
    return wanted


def test_an_image_is_pulled_with_the_password_of_its_registry(state: Path, pushed: str) -> None:
    with an_up(state) as up:
        up.must("PUT", "/v1/apps/web", given(pushed, "wrong"))
        details = until(lambda: failure(up))
        assert f"image {pushed} cannot be pulled" in details
        assert "ErrImagePull" in details or "ImagePullBackOff" in details
        assert not docker("images", "-q", pushed)
        secrets = given(pushed, PASSWORD)["configuration"]["secrets"]
        up.must("PATCH", "/v1/apps/web", {"configuration": {"secrets": secrets}})
        up.must("POST", "/v1/apps/web/revisions/web--v1/activate")
        provisioned(up, "web--v1")
        until(lambda: "web--v1" in up.get("web.localhost")[2])
        up.must("DELETE", "/v1/apps/web")
        until(lambda: not containers())


def failure(up: Turnout) -> str:
    """Why the revision failed; empty as long as it did not."""
    return str(up.must("GET", "/v1/apps/web/revisions/web--v1").get("provisioningError", ""))
