"""A document without what is of the wrong form, so that the rules judge the rest of it, too.

Whoever mends a file by hand would otherwise be told in rounds: first what cannot be read, and what
the rest breaks when that is mended. Pure.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from router.contract.check.form import Path

_REQUIRED = ("name", "address", "replica", "until")  # an object without it cannot be judged
# A key with an unknown name may be this one, misspelled: the rules cannot go by its default then.
_MAY_BE = {"apps": "mode", "revisions": "weight"}


class TheRest:
    """What is left of a document, and what cannot be said of it for that."""

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
        """Whether a problem at a path is no consequence of what was taken out."""
        is_gone = any(path[: len(lost)] == lost for lost in self._lost)
        is_of_sum = any(self._weighs(lost) and lost[:2] == path for lost in self._lost)
        return not is_gone and not is_of_sum

    @staticmethod
    def _weighs(lost: Path) -> bool:
        """Whether the sum of an app's weights misses it."""
        return lost[-1] == "weight" or "revisions" in lost[-2:]

    def _take_out_key(self, path: Path) -> None:
        parent = self._at(path[:-1])
        if isinstance(parent, dict) and parent.pop(path[-1], None) is not None:
            meant = _MAY_BE.get(str(path[-3])) if len(path) > 2 else None
            if meant and meant not in parent:
                self._lost.add((*path[:-1], meant))

    def _take_out(self, path: Path) -> None:
        """The value, or what cannot do without it; items of other lists than these take all."""
        while path and (path[-1] in _REQUIRED or not self._can_be_spared(path)):
            path = path[:-1]
        self._lost.add(path)
        parent = self._at(path[:-1])
        if not path:
            self.document = {}
        elif isinstance(parent, dict):
            parent.pop(path[-1], None)
        elif isinstance(parent, list):
            parent[int(path[-1])] = {"name": "?"}  # the others keep their places

    @staticmethod
    def _can_be_spared(path: Path) -> bool:
        return isinstance(path[-1], str) or path[-2] in ("apps", "revisions")

    def _at(self, path: Path) -> Any:
        """None for what was taken out already."""
        value = self.document
        for key in path:
            try:
                value = value[key]
            except (LookupError, TypeError):
                return None
        return value
