"""Writes config/README.md: every setting, made from the settings classes so that it cannot rot."""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Any

from control.settings import ControlSettings
from router.contract.settings import RouterSettings

_HEAD = """# Settings

A setting is a flag (`--listen`), an environment variable (`TURNOUT_LISTEN`), or a key of the TOML
file that `--config` names, in that order; the common ones have flags, all have the other two.
`turnout check FILE` checks a file.
This page is made from the code: `make docs`.

| file | |
|---|---|
| [routes.toml](routes.toml) | a routes file for a router alone |
| [turnout.toml](turnout.toml) | a settings file for `turnout up` |
| [compose/sidecar.yaml](compose/sidecar.yaml) | turnout as a sidecar of one app |
| [compose/edge.yaml](compose/edge.yaml) | routes by labels, scraped by Prometheus |
| [compose/full.yaml](compose/full.yaml) | control and router, on the engine behind a socket proxy |
| [prometheus/](prometheus) | what to scrape, recording rules, alerts |
| [grafana/](grafana) | a dashboard, and how Grafana finds it |
| [systemd/](systemd) | units with socket activation and readiness |
| [base-image.sh](base-image.sh) | a base for the Dockerfile where none can be pulled |
"""


def page() -> str:
    """The whole page."""
    router = _table(RouterSettings)
    control = _table(ControlSettings)
    return (
        f"{_HEAD}\n## Router\n\nKeys at the top level of the file.\n\n{router}\n"
        "## Control plane\n\nKeys under `[control]`; those that both have may stand at the top "
        f"level.\n\n{control}"
    )


def _table(cls: type[Any]) -> str:
    hints = typing.get_type_hints(cls)
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        default = _shown(field.default, hints[field.name])
        rows.append(f"| `{field.name}` | {default} | {field.metadata['doc']} |")
    return "\n".join(rows) + "\n"


def _shown(default: Any, hint: Any) -> str:
    if default in ("", ()):
        return "none"
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if hint is bool else default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
