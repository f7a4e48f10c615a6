"""The same template once more: an image built anew under its tag, or a caller who insists."""

from __future__ import annotations

from typing import Any

import pytest

from control.changes.images import ComparedImages, compared_images
from control.model.errors import Invalid
from control.model.resources import AppView, Provisioning, replace
from control.model.targets import Targets
from control.model.template import Template
from control.rules import commands
from control.runtime.endpoint import EndpointRuntime
from tests.control.support import LIMITS, World
from tests.support.builders import a_body

V1 = frozenset({"shop--v1"})


def serving() -> World:
    world = World()
    world.deploy(suffix="v1", mode="single", image="web:1")
    world.settle()
    ids = replace(world.view.revisions["shop--v1"], images={"web:1": "sha256:a"})
    world.view = AppView(world.app, {"shop--v1": ids}, world.view.replicas)
    return world


def deploy(world: World, suffix: str = "", **given: Any) -> None:
    world.now += 1
    body = a_body(suffix, mode="single", image="web:1", **given.pop("configuration", {}))
    world.view = commands.deploy(world.view, "shop", body, world.now, world.new_suffix, **given)


@pytest.mark.parametrize(
    ("given", "is_new"),
    [
        ({"is_asked": True}, False),
        ({"is_asked": True, "rebuilt": V1}, True),
        ({"is_asked": True, "rebuilt": frozenset({"shop--v0"})}, False),
        ({"is_forced": True}, True),
        ({"rebuilt": V1}, True),  # a PUT that changes nothing else
        # az PUTs the whole app back to change a setting: that deploys nothing
        ({"rebuilt": V1, "configuration": {"maxInactiveRevisions": 7}}, False),
    ],
)
def test_a_template_makes_a_new_revision_when_its_image_is_another(
    given: dict[str, Any], is_new: bool
) -> None:
    world = serving()
    deploy(world, **given)
    assert (world.app.latest != "shop--v1") is is_new
    assert len(world.view.revisions) == 1 + is_new
    assert world.view.revisions[world.app.latest].pulls is bool(given.get("is_forced"))


def test_its_name_is_another_too() -> None:
    world = serving()
    with pytest.raises(Invalid, match="suffix v1 already exists"):
        deploy(world, "v1", is_asked=True, rebuilt=V1)
    deploy(world, "v2", is_asked=True, rebuilt=V1)
    assert world.app.latest == "shop--v2"


def test_what_never_was_ready_is_tried_again_with_the_image_of_now() -> None:
    world = World()
    world.broken = {"shop--v1"}
    world.deploy(suffix="v1", mode="single", image="web:1")
    world.settle()
    world.now += LIMITS.progress_deadline_s
    world.settle()
    failed = replace(world.view.revisions["shop--v1"], images={"web:1": "sha256:a"})
    assert failed.provisioning is Provisioning.FAILED
    world.view = AppView(world.app, {"shop--v1": failed}, world.view.replicas)
    deploy(world, is_asked=True)
    assert world.view.revisions["shop--v1"].images == {}


def test_what_was_ready_comes_back_with_the_image_that_it_was_made_of() -> None:
    world = serving()
    world.deploy(suffix="v2", mode="single", image="web:2")
    world.settle()
    world.view = commands.activate(world.view, "shop--v1", world.now)
    assert world.view.revisions["shop--v1"].images == {"web:1": "sha256:a"}


class Engine(EndpointRuntime):
    """Knows what images are now."""

    def __init__(self, **now: str) -> None:
        super().__init__(Targets([]))
        self._now = {f"web:{tag.removeprefix('v')}": f"sha256:{id_}" for tag, id_ in now.items()}

    async def images(self, template: Template) -> dict[str, str]:
        return self._now


@pytest.mark.parametrize(
    ("noted", "engine", "expected"),
    [
        ({"web:1": "sha256:a"}, Engine(v1="a"), ComparedImages(same=V1)),
        ({"web:1": "sha256:a"}, Engine(v1="b"), ComparedImages(rebuilt=V1)),
        ({"web:1": "sha256:a"}, Engine(), ComparedImages()),  # it did not answer in time
        ({}, Engine(v1="a"), ComparedImages()),  # an earlier version did not note it
        ({"web:1": "sha256:a"}, Engine(v1="a", v2="b"), ComparedImages()),  # one of two is known
    ],
)
async def test_images_are_the_same_only_if_that_is_known(
    noted: dict[str, str], engine: Engine, expected: ComparedImages
) -> None:
    world = serving()
    revision = replace(world.view.revisions["shop--v1"], images=noted)
    view = AppView(world.app, {"shop--v1": revision}, world.view.replicas)
    assert await compared_images(view, {"docker": engine}) == expected
