"""A document without its malformed values, so that the rules can judge the rest as well.

Without this, mending a file by hand would take rounds: first the values that cannot be read, then
the rules that the mended values break. Pure.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from router.contract.check.form import Path

# an object without one of these cannot be judged
_REQUIRED = ("name", "address", "replica", "until")
# An unknown key may be a misspelling of one of these, so the rules cannot use its default.
_MAY_BE = {"apps": "mode", "revisions": "weight"}


class TheRest:
    """What is left of a document, and which problems cannot be judged because of what was lost."""

    def __init__(self, document: Any, errors: Iterable[Any]) -> None:
        self.document = copy.deepcopy(document)
        self._lost: set[Path] = set()
        for error in errors:
            loc: Path = error["loc"]
            if error["type"] == "extra_forbidden":
                self._take_out_key(loc)
            else:
                self._take_out(loc[:-1] if error["type"] == "missing" else loc)

    def can_say(self, path: Path) -> bool:
        """Whether a problem at `path` is real, not a consequence of a value that was taken out."""
        is_gone = any(path[: len(lost)] == lost for lost in self._lost)
        is_of_sum = any(self._weighs(lost) and lost[:2] == path for lost in self._lost)
        return not is_gone and not is_of_sum

    @staticmethod
    def _weighs(lost: Path) -> bool:
        """Whether a lost value leaves an app's weights with the wrong sum."""
        return lost[-1] == "weight" or "revisions" in lost[-2:]

    def _take_out_key(self, path: Path) -> None:
        parent = self._at(path[:-1])
        if isinstance(parent, dict) and parent.pop(path[-1], None) is not None:
            meant = _MAY_BE.get(str(path[-3])) if len(path) > 2 else None
            if meant and meant not in parent:
                self._lost.add((*path[:-1], meant))

    def _take_out(self, path: Path) -> None:
        """Take out a value, or the object that needs it.

        A bad item of another list takes the list.
        """
        while path and (path[-1] in _REQUIRED or not self._can_be_spared(path)):
            path = path[:-1]
        self._lost.add(path)
        parent = self._at(path[:-1])
        if not path:
            self.document = {}
        elif isinstance(parent, dict):
            parent.pop(path[-1], None)
        elif isinstance(parent, list):
            parent[int(path[-1])] = {"name": "?"}  # keeps the indexes of the other items

    @staticmethod
    def _can_be_spared(path: Path) -> bool:
        return isinstance(path[-1], str) or path[-2] in ("apps", "revisions")

    def _at(self, path: Path) -> Any:
        """The value at `path`; None if it has already been taken out."""
        value = self.document
        for key in path:
            try:
                value = value[key]
            except (LookupError, TypeError):
                return None
        return value
