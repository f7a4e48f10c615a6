"""Who asked for a change: handed down from the API to the journal, so that nothing else knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked for a change, why if they said so, on what conditions, and whether to make it."""

    who: str
    note: str = ""
    if_match: str = ""  # of the one app that the request is about
    if_none_match: str = ""
    is_dry_run: bool = False  # shown what would become of it, and nothing is changed


TURNOUT = Caller("turnout")  # what it does by itself
