"""Runs a server to its end: settings checked, log set up, failures turned into exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import uvloop

from router.process.config import BadSettings


class CannotServe(Exception):
    """What keeps a server from serving, as a sentence for whoever started it."""


class Checked(Protocol):
    """Settings of a server."""

    @property
    def log_level(self) -> str:
        """Level of its log."""

    def check(self) -> object:
        """Raises BadSettings."""


def serve(settings: Checked, main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run `main`; 0 after a drain, 2 for bad settings, 1 for any other failure."""
    _reserve_standard_descriptors()
    try:
        settings.check()
        logging.basicConfig(
            stream=sys.stderr,
            level=settings.log_level.upper(),
            format="%(asctime)s level=%(levelname)s %(message)s",
        )
        uvloop.run(main())
    except BadSettings as error:
        print(f"turnout: {error}", file=sys.stderr)
        return 2
    except (OSError, CannotServe) as error:
        print(f"turnout: {error}", file=sys.stderr)
        return 1
    return 0


def _reserve_standard_descriptors() -> None:
    """Without this, a server started with one of them closed has a socket in its place.

    What is printed would reach a client, and libuv aborts the process when it closes such a one.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number is taken
