"""A revision that was deleted and made anew under its name is another one: its replicas too."""

from __future__ import annotations

import orjson
import pytest

from control.model.resources import AppView, Provisioning, replica_from, revision_from, to_doc
from control.publish.compiler import compile_app
from tests.control.support import World


def made_anew(world: World, **given: object) -> None:
    """Delete the app and deploy it again, before anything else had a turn."""
    world.view = AppView(None, {}, world.view.replicas)
    world.deploy(suffix="v1", **given)


@pytest.mark.parametrize("mode", ["single", "multiple"])
def test_old_replicas_do_not_make_a_new_revision_ready(mode: str) -> None:
    world = World()
    world.deploy(suffix="v1", mode=mode)
    world.settle()
    (old,) = world.view.ready("shop--v1")

    made_anew(world, image="process:other", mode=mode)
    world.broken.add("shop--v1")
    world.settle()

    revision = world.view.revisions["shop--v1"]
    assert revision.provisioning is Provisioning.PROVISIONING
    assert world.view.ready("shop--v1") == []
    assert old.name not in world.view.replicas


def test_routers_are_not_told_of_old_replicas_under_the_new_revision() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()

    made_anew(world)

    compiled = compile_app(world.view)
    assert compiled is not None
    assert [r.endpoints for r in compiled.revisions] == [()]


def test_a_recreated_app_waits_for_the_old_replicas_of_its_name() -> None:
    world = World()
    world.deploy(suffix="v1", mode="single", updateStrategy="recreate")
    world.settle()
    made_anew(world, mode="single", updateStrategy="recreate")

    plan = world.plan(can_stop=False)

    assert plan.starts == []


def test_revisions_of_the_same_name_have_different_uids() -> None:
    world = World()
    world.deploy(suffix="v1")
    first = world.view.revisions["shop--v1"].uid
    made_anew(world)

    assert first
    assert world.view.revisions["shop--v1"].uid not in ("", first)


def test_records_of_a_time_before_uids_still_belong_together() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()
    (replica,) = world.view.ready("shop--v1")
    old_revision = to_doc(world.view.revisions["shop--v1"])
    old_replica = to_doc(replica)
    del old_revision["uid"], old_replica["revision_uid"]

    view = AppView(world.app, {"shop--v1": revision_from(orjson.dumps(old_revision))})
    view = view.with_replica(replica_from(orjson.dumps(old_replica)))

    assert [r.name for r in view.ready("shop--v1")] == [replica.name]
