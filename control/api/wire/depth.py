"""How deep a decoded body or file may be nested: what walks it recurses. Pure."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 64  # an app's body is 10 levels deep
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels, or has too many values on one of them"
_MAX_WIDTH = 1 << 20  # of a file, which may have thousands of apps; YAML's aliases multiply
MAX_WIDTH = 1 << 17  # of a body: a thousand apps, with a hundred values on one level each


def is_deep(value: Any, most: int = _MAX_WIDTH) -> bool:
    """Whether anything lies more than MAX_DEPTH levels down; looked for level by level.

    Too many values on one level count as too deep, too.
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
