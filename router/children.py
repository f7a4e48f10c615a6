"""How turnout starts Python processes of its own."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]  # the directory that holds `router` and `control`


def command(module: str, *args: str) -> list[str]:
    """The command that runs a module of turnout.

    Python would look for the module in the working directory first, and run a router.py that lies
    there; -P forbids that. PYTHONSAFEPATH would pass the same on to the commands of replicas, and
    -I would also hide PYTHONPATH and what a user installed for himself. A checkout that is run
    without being installed is found by its working directory alone, and there nothing can come
    before the packages.
    """
    is_checkout = False
    with contextlib.suppress(OSError):  # the working directory may be gone
        is_checkout = Path.cwd() == _ROOT
    return [sys.executable, *([] if is_checkout else ["-P"]), "-m", module, *args]
