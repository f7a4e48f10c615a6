"""The compose files run as they are written: images are made or public, variables are explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.turnout import environment

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config" / "compose").glob("*.yaml"))
PUBLIC = {"prom/prometheus", "tecnativa/docker-socket-proxy"}
STAGES = re.findall(r"^FROM \S+ AS (\w+)", (ROOT / "Dockerfile").read_text(), re.M)


def services(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())["services"]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_image_is_made_from_this_checkout_or_public(file: Path) -> None:
    for name, service in services(file).items():
        if service["image"] in PUBLIC:
            continue
        build = service["build"] if isinstance(service["build"], dict) else {"context": "../.."}
        assert (file.parent / build["context"]).resolve() == ROOT, name
        assert build.get("target", "turnout") in STAGES


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_variable_has_a_default_or_a_command_that_sets_it(file: Path) -> None:
    text = file.read_text()
    head = text[: text.index("services:")]
    for name, default in re.findall(r"\$\{(\w+)(:?[-?])", text):
        assert name in head or name == "TURNOUT_IMAGE"
        assert default == ":-" or f"export {name}=" in head, name


@pytest.mark.system
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_compose_understands_it(file: Path, tmp_path: Path) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    (tmp_path / "tokens").write_text("me write secret\n")
    env = environment() | {"TOKENS": str(tmp_path / "tokens"), "DOCKER_GID": "999"}
    command = ["docker-compose", "-f", str(file), "config"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.system
def test_without_its_variables_compose_says_what_they_are() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    env = {k: v for k, v in environment().items() if k not in ("TOKENS", "DOCKER_GID")}
    command = ["docker-compose", "-f", str(ROOT / "config/compose/edge.yaml"), "config"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "stat -c %g /var/run/docker.sock" in done.stderr or "NAME ROLE TOKEN" in done.stderr
