"""What is read from the labels of containers."""

from __future__ import annotations

from typing import Any

import pytest

from control.model.resources import Replica
from control.runtime.docker import spec

REPLICA = Replica("shop--v1-r1", "shop", "shop--v1", 0.0, "new")
OWNER = spec.Owner("one", "turnout")


def shown(uid: str, role: str) -> dict[str, Any]:
    labels = OWNER.labels(Replica("shop--v1-r1", "shop", "shop--v1", 0.0, uid))
    return {"Config": {"Labels": labels | {spec.ROLE: role}}}


@pytest.mark.parametrize(
    ("found", "is_adopted"),
    [
        ([("new", "main"), ("new", "side")], True),
        ([("new", "main")], False),  # one is missing
        ([("old", "main"), ("old", "side")], False),  # of an earlier revision of that name
        ([("new", "main"), ("old", "side")], False),
        ([("new", "side"), ("new", "side")], False),
    ],
)
def test_containers_are_adopted_when_all_run_the_code_of_the_revision(
    found: list[tuple[str, str]], is_adopted: bool
) -> None:
    main = spec.main_of([shown(*facts) for facts in found], REPLICA, wanted=2)

    assert (main is not None) is is_adopted
