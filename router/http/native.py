"""Hints for mypyc. This module is not compiled, so that at run time mypyc is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_):
        """Does nothing in interpreted code."""
        return lambda cls: cls


__all__ = ["mypyc_attr"]
