"""Reads a routes file (TOML) and reports every problem with its line.

`tomllib` gives values without lines, so the lines of headers and keys are found separately.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

from router.contract.check import Path, Problem, check
from router.contract.snapshot import Snapshot

_HEADER = re.compile(r"\s*\[{1,2}\s*([A-Za-z0-9_.\s-]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_PLURAL = {"app": "apps", "revision": "revisions"}


class BadRoutes(ValueError):
    """A routes file was refused whole; `problems` are `(line, message)`, lines counted from 1."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"line {line}: {message}" for line, message in problems))
        self.problems = problems


def parse(text: str) -> Snapshot:
    """The snapshot that a routes file describes. Raises BadRoutes."""
    try:
        tables = _renamed(tomllib.loads(text))
    except RecursionError:
        raise BadRoutes(
            [(1, "the file is nested too deep; apps and revisions are two levels")]
        ) from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        at_end = text.count("\n") + 1
        message = re.sub(r" \(at .*\)$", "", str(error))
        raise BadRoutes([(int(line[1]) if line else at_end, message)]) from None
    result = check(tables, is_file=True)
    if isinstance(result, Snapshot):
        return result
    lines = _lines(text)
    raise BadRoutes(sorted((_line_of(p, lines), _worded(p)) for p in result))


def _renamed(tables: Any) -> Any:
    """The file's `[[app]]` and `[[app.revision]]` under the snapshot's names, `apps` and
    `revisions`.
    """
    if isinstance(tables, dict):
        return {_PLURAL.get(k, k): _renamed(v) for k, v in tables.items()}
    return [_renamed(v) for v in tables] if isinstance(tables, list) else tables


def _lines(text: str) -> dict[Path, int]:
    """The line of every table header and key, by path."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    here: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            here = _enter(header[1], counts, is_array=line.lstrip().startswith("[["))
            lines.setdefault(here, number)
        elif key := _KEY.match(line):
            lines.setdefault((*here, _PLURAL.get(key[1], key[1])), number)
    return lines


def _enter(header: str, counts: dict[Path, int], *, is_array: bool) -> Path:
    here: Path = ()
    names = [_PLURAL.get(part.strip(), part.strip()) for part in header.split(".")]
    for depth, name in enumerate(names, 1):
        here = (*here, name)
        if is_array and depth == len(names):
            counts[here] = counts.get(here, -1) + 1
        if here in counts:
            here = (*here, counts[here])
    return here


def _line_of(problem: Problem, lines: dict[Path, int]) -> int:
    path = problem.path
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _worded(problem: Problem) -> str:
    last = next((p for p in reversed(problem.path) if isinstance(p, str)), "")
    return f"{last}: {problem.message}" if last else problem.message
