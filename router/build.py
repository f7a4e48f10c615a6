"""How the modules that a request touches are installed. Imports none of them."""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec


def build_kind() -> str:
    """The word `compiled` or `interpreted`."""
    spec = find_spec("router.forwarding.exchange")
    is_compiled = spec is not None and isinstance(spec.loader, ExtensionFileLoader)
    return "compiled" if is_compiled else "interpreted"
