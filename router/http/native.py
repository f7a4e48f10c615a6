"""A word to the compiler, in a module that is not compiled: it costs no dependency when run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_):
        """Nothing, when interpreted."""
        return lambda cls: cls


__all__ = ["mypyc_attr"]
