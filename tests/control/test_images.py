"""What is said while an image is pulled."""

from __future__ import annotations

import pytest

from control.runtime.docker.images import Progress

LAYER = {"status": "Downloading", "id": "a1"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"status": "Pulling from team/web", "id": "1"}, "Pulling image web:1."),
        (LAYER | {"progressDetail": {}}, "Pulling image web:1."),
        (LAYER | {"progressDetail": {"current": 1 << 20, "total": 4 << 20}},
         "Pulling image web:1: 1.0 of 4.0 MiB."),
    ],
)  # fmt: skip
def test_how_much_of_an_image_is_here(line: dict[str, object], said: str) -> None:
    told: list[str] = []
    progress = Progress("web:1", told.append)
    progress.see(line)
    progress.see(line)  # within the same second: each report is a write
    assert told == [said]
