"""The README's tour with containers; our image stands in for those that it names."""

from __future__ import annotations

from pathlib import Path

from tests.docker.conftest import docker
from tests.support.turnout import Turnout, until
from tests.system.test_readme import tour, walk

IMAGES = ("nginx:1.27", "nginx:1.28")


def test_the_docker_tour_works(state: Path, tmp_path: Path, image: str) -> None:
    for name in IMAGES:
        docker("tag", image, name)
    with Turnout("up", listen="127.0.0.1:0", admin="127.0.0.1:0", state=state / "s") as up:
        steps = tour("docker-tour")
        assert len(steps) > 6
        walk(steps, up, tmp_path)
        until(lambda: not docker("ps", "-q", "--filter", "label=turnout.replica"))
