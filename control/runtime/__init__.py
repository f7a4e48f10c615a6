"""Runtimes: what starts and stops replicas. The image's scheme picks one (product.md §5)."""

from __future__ import annotations

from collections.abc import Mapping

from control.errors import Invalid
from control.runtime.base import Exit, Launch, OnExit, Runtime, Started, StartFailed
from control.template import Template
from router.validate import is_address

__all__ = ["Exit", "Launch", "OnExit", "Runtime", "StartFailed", "Started", "check_template"]

Runtimes = Mapping[str, Runtime]


def check_template(template: Template, runtimes: Runtimes) -> None:
    """Raises Invalid when no runtime here can run the template."""
    kind, main = template.runtime, template.containers[0]
    where = "template.containers[0]"
    if kind not in runtimes:
        raise Invalid(
            f"{where}.image: {main.image!r} needs a container runtime, which this turnout does "
            "not have; use process: with a command, process:demo, or endpoint:HOST:PORT"
        )
    if kind != "docker" and (len(template.containers) > 1 or template.init_containers):
        raise Invalid(f"template.containers: a {kind}: revision has one container")
    if kind != "docker" and template.volumes:
        raise Invalid(f"template.volumes: a {kind}: revision has none; it sees the host's files")
    if kind == "process" and main.image == "process:" and not main.command:
        raise Invalid(f"{where}.command: process: needs the command to run")
    if kind == "process" and main.image not in ("process:", "process:demo"):
        raise Invalid(f"{where}.image: {main.image!r} is neither process: nor process:demo")
    for address in template.endpoints:
        if not is_address(address):
            raise Invalid(f"{where}.image: {address!r} is not HOST:PORT")
    if kind == "endpoint" and not template.endpoints:
        raise Invalid(f"{where}.image: endpoint: needs at least one HOST:PORT")
    if kind == "endpoint" and len(set(template.endpoints)) != len(template.endpoints):
        raise Invalid(f"{where}.image: an endpoint is named twice")
