"""Secrets: kept by name, missed in time, shown to nobody."""

from __future__ import annotations

from typing import Any

import pytest

from control.history import journal
from control.model.errors import Invalid
from control.model.schema import AppBody
from control.rules import commands
from tests.control.support import World


def body(suffix: str, secrets: list[dict[str, str]], **main: Any) -> AppBody:
    env = [{"name": "DB", "secretRef": "db"}]
    return AppBody.model_validate(
        {
            "configuration": {"activeRevisionsMode": "multiple", "secrets": secrets, "ingress": {}},
            "template": {
                "revisionSuffix": suffix,
                "containers": [{"image": "process:demo", "env": env, **main}],
            },
        }
    )


@pytest.fixture
def world() -> World:
    world = World()
    world.deploy(body("v1", [{"name": "db", "value": "hunter2"}, {"name": "old", "value": "x"}]))
    world.settle()
    return world


def values(world: World) -> dict[str, str]:
    found: dict[str, str] = world.app.configuration.secret_values
    return found


def test_a_secret_named_without_a_value_keeps_the_stored_one(world: World) -> None:
    world.deploy(body("", [{"name": "db"}]))
    assert values(world) == {"db": "hunter2"}
    assert world.app.latest == "shop--v1"  # app scope: no revision


def test_a_new_secret_needs_a_value(world: World) -> None:
    with pytest.raises(Invalid, match="api has no value yet"):
        world.deploy(body("", [{"name": "db"}, {"name": "api"}]))


def test_a_reference_to_nothing_is_refused_and_named() -> None:
    world = World()
    with pytest.raises(Invalid, match="shop--v1 needs the secret db"):
        world.deploy(body("v1", []))
    assert world.view.app is None


def test_a_secret_in_use_cannot_go_and_one_out_of_use_can(world: World) -> None:
    with pytest.raises(Invalid, match="shop--v1 needs the secret db"):
        commands.remove_secret(world.view, "db", world.now)
    world.view = commands.remove_secret(world.view, "old", world.now)
    assert values(world) == {"db": "hunter2"}


def test_a_resting_revision_whose_secret_is_gone_does_not_come_back(world: World) -> None:
    plain = [{"name": "A", "value": "1"}]
    world.deploy(body("v2", [{"name": "db"}, {"name": "old"}], env=plain))
    world.settle()
    world.view = commands.deactivate(world.view, "shop--v1", world.now)
    world.view = commands.remove_secret(world.view, "db", world.now)
    with pytest.raises(Invalid, match="needs the secret db"):
        commands.activate(world.view, "shop--v1", world.now)


def test_a_registrys_password_is_a_secret(world: World) -> None:
    wrong = body("", [{"name": "db"}])
    registry = {"server": "ghcr.io", "username": "me", "passwordSecretRef": "pull"}
    configuration = wrong.configuration.model_dump(by_alias=True) | {"registries": [registry]}
    with pytest.raises(Invalid, match=r"ghcr\.io needs the secret pull"):
        world.deploy(AppBody.model_validate({**wrong.wire(), "configuration": configuration}))


def test_no_value_is_shown_or_recorded(world: World) -> None:
    old = world.view
    world.view = commands.set_secrets(world.view, {"db": "correct horse"}, world.now)
    lines = list(journal.changes(old, world.view))
    assert lines == ["secret db changed; a revision sees it after a restart"]
    shown = str([lines, journal.state_of(world.view), world.app.configuration.wire()])
    shown += repr(world.app)
    assert "correct horse" not in shown
    assert "hunter2" not in shown
