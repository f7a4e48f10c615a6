"""Runtimes start and stop replicas. The scheme of the image decides which one is used."""

from __future__ import annotations

from collections.abc import Mapping

from control.runtime.base import Exit, Launch, OnExit, Runtime, Started, StartFailed, Survivor

__all__ = ["Exit", "Launch", "OnExit", "Runtime", "Runtimes", "StartFailed", "Started", "Survivor"]

Runtimes = Mapping[str, Runtime]
