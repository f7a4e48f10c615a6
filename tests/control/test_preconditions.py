"""If-Match and If-None-Match as RFC 9110 §13.1 has them."""

from __future__ import annotations

import orjson
import pytest

from control.api.wire.representation import app_wire
from control.changes.preconditions import Conditions, is_known, tag_of
from control.model.resources import ReplicaState
from tests.control.support import World


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "version", "expected"),
    [
        # RFC 9110 §13.1.1: true for `*` when there is a representation, else for a listed tag
        ("", "", None, True),
        ("*", "", 3, True),
        ("*", "", None, False),
        ('"3"', "", 3, True),
        ("3", "", 3, True),  # lenient: our own transactions write it bare
        ('"2"', "", 3, False),
        ('"3"', "", None, False),
        ('"2", "3"', "", 3, True),
        (' "2" ,\t"3" ', "", 3, True),
        ('"1","2"', "", 3, False),
        ('"3.0a1b"', "", 3, True),
        ('"2.0a1b"', "", 3, False),
        ('W/"3"', "", 3, False),  # strong comparison
        # RFC 9110 §13.1.2: false for `*` when there is one, else for a listed tag
        ("", "*", None, True),
        ("", "*", 3, False),
        ("", '"3"', 3, False),
        ("", 'W/"3"', 3, False),  # weak comparison
        ("", '"2", W/"3"', 3, False),
        ("", '"2"', 3, True),
        ("", '"2"', None, True),
        # RFC 9110 §13.2.2: both have to hold
        ('"3"', "*", 3, False),
        ("*", '"2"', 3, True),
    ],
)
def test_preconditions(
    if_match: str, if_none_match: str, version: int | None, expected: bool
) -> None:
    assert Conditions(if_match, if_none_match).hold(version) is expected


@pytest.mark.parametrize(
    ("if_none_match", "expected"),
    [
        ("", False),
        ("*", True),
        ('"3.a"', True),
        ('W/"3.a"', True),
        ('"3.b"', False),
        ('"3"', False),
    ],
)
def test_a_get_of_what_the_client_has_already_is_known(if_none_match: str, expected: bool) -> None:
    assert is_known(if_none_match, '"3.a"') is expected


def test_an_app_that_is_shown_otherwise_has_another_tag_and_the_same_version() -> None:
    world = World()
    world.deploy(suffix="v1")
    world.settle()

    def tag() -> str:
        return tag_of(world.app.version, orjson.dumps(app_wire(world.view, "localhost")))

    before, version = tag(), world.app.version
    for name in list(world.view.replicas):
        world.set(name, state=ReplicaState.UNREADY)
    world.plan()
    assert world.app.version == version
    assert not is_known(before, tag())
    assert Conditions(before).hold(version)
