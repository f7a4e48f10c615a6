"""A list shows each app as it is now, though it is rendered once."""

from __future__ import annotations

import orjson

from control.api.wire.rendered import Rendered
from control.api.wire.representation import app_wire
from tests.control.support import World


def test_a_changed_app_is_shown_as_it_is_now() -> None:
    world, rendered = World(), Rendered()
    for suffix in ("v1", "v2"):
        world.deploy(suffix=suffix)
        world.settle()
        for _ in range(2):
            shown = orjson.loads(orjson.dumps([rendered.app(world.view, "localhost")]))
            assert shown == [orjson.loads(orjson.dumps(app_wire(world.view, "localhost")))]
        rendered.keep(0)
