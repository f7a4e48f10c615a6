"""Documents that are made from the code are what the code makes."""

from __future__ import annotations

from pathlib import Path

from config.settings_page import page
from control.model.states import MOVES


def test_the_settings_page_is_up_to_date() -> None:
    assert Path("config/README.md").read_text() == page(), "run: make docs"


def test_the_table_of_moves_is_up_to_date() -> None:
    text = Path("control/README.md").read_text()
    shown = text.split("<!-- moves")[1].split("<!-- /moves")[0]
    rows = [
        f"| {s.value} | {', '.join(sorted(t.value for t in to))}".rstrip()
        for s, to in MOVES.items()
    ]

    assert [line.rstrip("| ") for line in shown.splitlines()[3:] if line] == [
        row.rstrip("| ") for row in rows
    ]
