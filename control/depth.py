"""How deep a decoded body or file may be nested: what walks it recurses. Pure."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 64  # an app's body is 10 levels deep
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
_MAX_WIDTH = 1 << 20  # above what a body of 1 MiB can hold; YAML's aliases multiply without end


def is_deep(value: Any) -> bool:
    """Whether anything lies more than MAX_DEPTH levels down; looked for level by level."""
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
        if len(inner) > _MAX_WIDTH:
            return True
        level = inner
    return True
