"""Runs a server to its end: checks settings, sets up the log, turns failures into exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import uvloop

from router.process.config import BadSettings


class CannotServe(Exception):
    """The server cannot serve; the message is a sentence for the person that started it."""


class Checked(Protocol):
    """The settings that every server has."""

    @property
    def log_level(self) -> str:
        """The level of the server's log."""

    def check(self) -> object:
        """Raises BadSettings."""


def serve(settings: Checked, main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run `main`; returns 0 after a drain, 2 for bad settings, 1 for any other failure."""
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
    """Open /dev/null on each of descriptors 0 to 2 that is closed.

    A socket would take the free number otherwise: what is printed would reach a client, and libuv
    aborts the process when it closes one of these numbers.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the kernel takes the lowest free number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
