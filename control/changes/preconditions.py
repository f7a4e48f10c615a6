"""Conditional requests on an app (RFC 9110 §13.1). Pure.

Its entity tag is its version, and after a dot what it was shown as: the state it runs in changes
without a version. A write that names a tag asks for the version alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TAG = re.compile(r'(W/)?"?([^",\s]*)"?')


@dataclass(frozen=True, slots=True)
class Conditions:
    """The headers of that name, as they came; empty for one that did not."""

    if_match: str = ""
    if_none_match: str = ""

    def __str__(self) -> str:
        given = (("If-Match", self.if_match), ("If-None-Match", self.if_none_match))
        return " and ".join(f"{name}: {value}" for name, value in given if value)

    def hold(self, version: int | None) -> bool:
        """Whether a write may be made; `version` is None for an app that does not exist."""
        if self.if_match and not _matches(self.if_match, version, is_weak=False):
            return False
        return not (self.if_none_match and _matches(self.if_none_match, version, is_weak=True))


UNCONDITIONAL = Conditions()


def tag_of(version: int, shown: bytes) -> str:
    """The entity tag of an app as it is shown."""
    return f'"{version}.{hashlib.blake2b(shown, digest_size=6).hexdigest()}"'


def is_known(if_none_match: str, tag: str) -> bool:
    """Whether the client that reads has just this already: the answer is 304."""
    return if_none_match.strip() == "*" or tag.strip('"') in _tags(if_none_match, is_weak=True)


def _matches(header: str, version: int | None, *, is_weak: bool) -> bool:
    if version is None:
        return False
    versions = (tag.partition(".")[0] for tag in _tags(header, is_weak=is_weak))
    return header.strip() == "*" or str(version) in versions


def _tags(header: str, *, is_weak: bool) -> Iterator[str]:
    for item in header.split(","):
        tag = _TAG.fullmatch(item.strip())
        if tag is not None and (is_weak or not tag[1]):
            yield tag[2]
