"""setuptools, and mypyc where it can compile: named in pyproject.toml, called by pip.

`TURNOUT_PURE=1` keeps everything interpreted, `TURNOUT_PURE=0` compiles or fails. Without either,
a wheel is compiled where a C compiler and Python's headers are; an editable installation is not,
because what is compiled cannot be edited.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setuptools import Extension, build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

MYPYC = "mypy[mypyc]==2.4.1"  # as in requirements-test.txt: what was tested is what compiles
_ROUTER = Path("router")

# What a request touches, by room.
_ROOMS = {
    "contract": "hosts memo outcomes peers settings",
    "loop": "clock intake outbox unsent",
    "http": "chunked fields request_head response_head request_ids seams sized trail websocket",
    "routing": "inside replicas retry_budget selection stats table",
    "forwarding": "access_log admission agreement attempts choice context exchange held_body"
    " shedding states tunnel",
    "tracing": "ended traceparent tracer",
}
COMPILED = [
    *(_ROUTER / room / f"{name}.py" for room, names in _ROOMS.items() for name in names.split()),
    _ROUTER / "worker" / "sweeper.py",
    *_ROUTER.glob("ingress/[a-z]*.py"),
    *_ROUTER.glob("upstream/[a-z]*.py"),
    Path("control/settings.py"),  # which extends the router's
]


def get_requires_for_build_wheel(config_settings: Mapping[str, Any] | None = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_compiler()]


def get_requires_for_build_editable(config_settings: Mapping[str, Any] | None = None) -> list[str]:
    required = build_meta.get_requires_for_build_editable(config_settings)
    return [*required, *(_compiler() if _is_asked() else ())]


def extensions() -> list[Extension]:
    """What setup.py has to compile for the command that it runs."""
    is_wheel = "bdist_wheel" in sys.argv
    if not (is_wheel or ("editable_wheel" in sys.argv and _is_asked())) or not _compiler():
        return []
    from mypyc.build import mypycify

    # The libraries that it calls are not here while it is built, and are called as Python. Types
    # are judged by `make check`, not by whether a build happens to find the libraries.
    loose = ["--config-file=", "--ignore-missing-imports"]
    return mypycify([*loose, *map(str, COMPILED)], group_name="turnout")


def _is_asked() -> bool:
    return os.environ.get("TURNOUT_PURE") == "0"


def _compiler() -> list[str]:
    """What compiles, to be installed; nothing where it would be of no use."""
    if os.environ.get("TURNOUT_PURE") == "1":
        return []
    if _has_c() or _is_asked():
        return [MYPYC]
    sys.stderr.write(
        "turnout: no C compiler, or no Python.h, so it is installed interpreted."
        " On Debian: apt-get install gcc python3-dev\n"
    )
    return []


def _has_c() -> bool:
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    include = sysconfig.get_path("include")
    flags = [f"-I{include}", "-fsyntax-only", "-x", "c", "-"]
    try:
        tried = subprocess.run(
            [*shlex.split(command), *flags], input=b"#include <Python.h>", capture_output=True
        )
    except OSError:
        return False
    return tried.returncode == 0
