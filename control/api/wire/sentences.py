"""Says what is wrong with a value of a body: its path, and words for people."""

from __future__ import annotations

from typing import Any

from control.model.kinds import words_for
from router.contract.check.sentences import what_is_wrong


def sentence(where: str, error: Any) -> str:
    """A sentence about one of pydantic's errors, beginning with the path of the value."""
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{where} is not known here; leave it out, or mend its spelling"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "string_pattern_mismatch":
        words = f"write {words_for(error['ctx']['pattern'])}"
    else:
        words = what_is_wrong(error)
    return f"{where}: {words}" if where else words
