"""Limits how deep a decoded body or file is nested, because code that walks it recurses. Pure."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 64  # an app's body is 10 levels deep
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels, or has too many values on one of them"
# values on one level of a file, which may have thousands of apps; YAML's aliases multiply them
_MAX_WIDTH = 1 << 20
MAX_WIDTH = 1 << 17  # values on one level of a body: a thousand apps with a hundred each


def is_deep(value: Any, most: int = _MAX_WIDTH) -> bool:
    """Whether a value lies more than MAX_DEPTH levels down; searched level by level.

    Too many values on one level count as too deep.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return False
        if len(inner) > most:
            return True
        level = inner
    return True
