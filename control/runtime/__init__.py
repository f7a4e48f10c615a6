"""Runtimes: what starts and stops replicas. The image's scheme picks one."""

from __future__ import annotations

from collections.abc import Mapping

from control.runtime.base import Exit, Launch, OnExit, Runtime, Started, StartFailed, Survivor

__all__ = ["Exit", "Launch", "OnExit", "Runtime", "Runtimes", "StartFailed", "Started", "Survivor"]

Runtimes = Mapping[str, Runtime]
