"""Reads a table's values strictly and reports every mistake at once.

Not done by pydantic, which would be a fifth of a sidecar's memory and half of its start. Mistakes
have pydantic's names, so that sentences.py can describe both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Path = tuple[str | int, ...]

_MISSING: Any = object()


@dataclass(slots=True)
class Reading:
    """A document while it is being read.

    An unknown key is a mistake in a file, where it is probably a misspelling; in a message it comes
    from a newer version and is ignored.
    """

    is_file: bool
    mistakes: list[dict[str, Any]] = field(default_factory=list)

    def wrong(self, path: Path, kind: str, **context: Any) -> Any:
        """Note a mistake. The return value is never used, since the document is refused."""
        self.mistakes.append({"type": kind, "loc": path, "ctx": context})


class Form(Protocol):
    """The form that a value must have."""

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        """The value as it is kept; mistakes are noted in `reading`."""


@dataclass(frozen=True, slots=True)
class Text:
    shortest: int = 0
    longest: int | None = None

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        if not isinstance(value, str):
            return reading.wrong(path, "string_type")
        if len(value) < self.shortest:
            return reading.wrong(path, "string_too_short", min_length=self.shortest)
        if self.longest is not None and len(value) > self.longest:
            return reading.wrong(path, "string_too_long", max_length=self.longest)
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, or a fraction where that is allowed; true and false are not numbers."""

    least: float | None = None
    most: float | None = None
    is_whole: bool = True

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        kinds = int if self.is_whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return reading.wrong(path, "int_type" if self.is_whole else "float_type")
        if self.least is not None and not value >= self.least:  # written so that NaN fails, too
            return reading.wrong(path, "greater_than_equal", ge=self.least)
        if self.most is not None and not value <= self.most:
            return reading.wrong(path, "less_than_equal", le=self.most)
        return value if self.is_whole else float(value)


@dataclass(frozen=True, slots=True)
class Flag:
    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        return value if isinstance(value, bool) else reading.wrong(path, "bool_type")


@dataclass(frozen=True, slots=True)
class OneOf:
    words: tuple[str, ...]

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        if isinstance(value, str) and value in self.words:
            return value
        *first, last = map(repr, self.words)
        return reading.wrong(path, "literal_error", expected=f"{', '.join(first)} or {last}")


@dataclass(frozen=True, slots=True)
class ListOf:
    form: Form

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        if not isinstance(value, list):
            return reading.wrong(path, "list_type")
        return tuple(self.form.read(item, (*path, i), reading) for i, item in enumerate(value))


@dataclass(frozen=True, slots=True)
class Maybe:
    """None, or a value of the given form."""

    form: Form

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        return None if value is None else self.form.read(value, path, reading)


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these keys; a missing key gets the default of the class that is made."""

    make: Callable[..., Any]
    keys: Mapping[str, Form]
    required: frozenset[str]
    is_written_by_hand: bool = False

    def read(self, value: Any, path: Path, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return reading.wrong(path, "model_type")
        before, found = len(reading.mistakes), {}
        for key, form in self.keys.items():
            given = value.get(key, _MISSING)
            if given is not _MISSING:
                found[key] = form.read(given, (*path, key), reading)
            elif key in self.required:
                reading.wrong((*path, key), "missing")
        if self.is_written_by_hand and reading.is_file:
            for key in value:
                if key not in self.keys:
                    reading.wrong((*path, key), "extra_forbidden")
        return None if len(reading.mistakes) > before else self.make(**found)
