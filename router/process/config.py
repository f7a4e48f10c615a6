"""Reads settings: flag, then environment, then TOML file, then default.

The only reader of the environment and of settings files. A settings class is a frozen dataclass;
each field's metadata carries its unit or form, and its reason.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

S = TypeVar("S")
CONTROL_TABLE = "control"  # the file's [control] table holds what only the control plane reads


class BadSettings(ValueError):
    """Settings that cannot be used; the message names the setting and what it should be."""


def setting(default: Any, doc: str) -> Any:
    """A field of a settings class: its default, and one sentence on unit and reason."""
    if isinstance(default, (list, tuple)):
        return field(default=tuple(default), metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


def load(
    cls: type[S],
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    table: str = "",
) -> S:
    """Settings of `cls`; a flag that is None was not given. Raises BadSettings.

    With `table`, the file's table of that name counts before its top level, and the names of
    the other class's settings are nobody's mistake.
    """
    settings, wrong = _load(cls, flags, Places(file), environ, table)
    refuse(wrong)
    return settings


class Sensible(Protocol):
    """Settings that can tell which of their values contradict each other."""

    def problems(self) -> Iterator[str]:
        """Each contradiction, as `NAME: what is wrong`."""


C = TypeVar("C", bound=Sensible)


def checked(
    cls: type[C],
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    table: str = "",
) -> C:
    """Like `load`, with the values checked together. Raises BadSettings with every problem."""
    places = Places(file)
    settings, wrong = _load(cls, flags, places, environ, table)
    refuse([*wrong, *settings.problems()])
    return settings


def refuse(problems: Iterable[str]) -> None:
    """Raise BadSettings if there are any problems."""
    if lines := list(problems):
        raise BadSettings("\n".join(lines))


def problem_of(check: Callable[..., object], *args: object) -> Iterator[str]:
    """The message of the BadSettings that `check` raises, or nothing if it passes."""
    try:
        check(*args)
    except BadSettings as error:
        yield str(error)


def _load(
    cls: type[S], flags: Mapping[str, Any], places: Places, environ: Mapping[str, str], table: str
) -> tuple[S, list[str]]:
    """The settings and every problem; a value that cannot be used is replaced by its default."""
    written = places.values
    inner = written.pop(CONTROL_TABLE, {})
    given = {**written, **(inner if table == CONTROL_TABLE else {})}
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    wrong = _unknown(inner if table else given, names, places, table)
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for f in dataclasses.fields(cls):  # type: ignore[arg-type]
        try:
            where = places.of(f.name, table if f.name in inner else "")
            values[f.name] = _value(f, hints[f.name], flags, environ, given, where)
        except BadSettings as error:
            wrong.append(str(error))
    return cls(**values), wrong


class Places:
    """A settings file: its values and the line of each."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.values: dict[str, Any] = {}
        self._lines: list[str] = []
        if file is not None:
            text, self.values = _read(file)
            self._lines = text.splitlines()

    def of(self, name: str, table: str = "") -> str:
        """`FILE:LINE` of a setting, in the table of that name or at the file's top level."""
        line = self._line(name, table)
        return f"{self._file}:{line}" if line else str(self._file)

    def placed(self, problem: str, table: str = "") -> tuple[int, str]:
        """The line that a problem is about, and the problem with its place put in front."""
        if mark := re.match(rf"{re.escape(str(self._file))}(?::(\d+))?\b", problem):
            return int(mark[1] or 0), problem
        name = problem.partition(":")[0]
        line = self._line(name, table) or self._line(name, "")
        return line, f"{self._file}:{line}: {problem}" if line else f"{self._file}: {problem}"

    def _line(self, name: str, table: str) -> int:
        """The line of a setting; 0 if the file does not hold it."""
        begin = f"[{table}]"
        within = ""
        for number, line in enumerate(self._lines, 1):
            bare = line.partition("#")[0].strip()
            within = bare if bare.startswith("[") and "=" not in bare else within
            if bare.partition("=")[0].strip() == name and within == (begin if table else ""):
                return number
        return 0


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text()
        return text, tomllib.loads(text)
    except OSError as error:
        raise BadSettings(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{file} is not UTF-8; settings are TOML") from None
    except RecursionError:
        raise BadSettings(f"{file} is nested too deep; settings have one level") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{file} is no TOML: {error}") from None


def _unknown(given: Mapping[str, Any], names: set[str], places: Places, table: str) -> list[str]:
    found = []
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            found.append(f"{places.of(name, table)}: there is no setting {name}{hint}")
    return found


def _value(
    f: Field[Any],
    hint: Any,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    given: Mapping[str, Any],
    where: str,
) -> Any:
    variable = f"TURNOUT_{f.name.upper()}"
    if flags.get(f.name) is not None:
        return _convert(flags[f.name], hint, f"--{f.name.replace('_', '-')}")
    if environ.get(variable, "") != "":
        return _convert(environ[variable], hint, variable)
    if f.name in given:
        return _convert(given[f.name], hint, f"{where}: {f.name}")
    assert f.default is not MISSING
    return f.default


_WORDS = {"true": True, "1": True, "yes": True, "on": True}
_WORDS |= {"false": False, "0": False, "no": False, "off": False}


def _convert(value: Any, hint: Any, where: str) -> Any:
    try:
        if hint is bool:
            return value if isinstance(value, bool) else _WORDS[str(value).lower()]
        if hint is int and not isinstance(value, bool):
            return int(value)
        if hint is float and not isinstance(value, bool):
            return float(value)
        if hint is Path:
            return Path(value)
        if hint is str and isinstance(value, (str, Path)):
            return str(value)
        if tuple in (hint, typing.get_origin(hint)):  # compiled, a hint names no items
            items = value.split(",") if isinstance(value, str) else value
            return tuple(str(item).strip() for item in items if str(item).strip())
    except (ValueError, KeyError, TypeError):
        pass
    raise BadSettings(f"{where}: {value!r} is not {_KINDS.get(hint, 'a valid value')}")


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def check_log_level(level: str) -> None:
    """Raise BadSettings unless `level` is a level of `logging`."""
    if level not in ("debug", "info", "warning", "error"):
        raise BadSettings(f"log_level: {level!r} is none of debug, info, warning and error")


def split_address(value: str, name: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`. Raises BadSettings."""
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadSettings(f"{name}: {value!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - as asked: every interface
