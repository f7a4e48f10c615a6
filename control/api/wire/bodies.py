"""Turns clients' bodies into what `Changes` takes; what GET shows may be sent back."""

from __future__ import annotations

from typing import Any

from control.api.wire.problems import decode
from control.api.wire.representation import app_wire
from control.model.resources import AppView
from control.model.schema import AppBody

# Keys that GET shows and PUT ignores.
_READ_ONLY = (
    "name",
    "version",
    "createdTime",
    "lastModifiedTime",
    "provisioningState",
    "provisioningError",
    "runningStatus",
    "latestRevisionName",
    "latestReadyRevisionName",
    "latestRevisionFqdn",
    "quarantined",
    "cancelled",
    "restored",
)


def writable(wire: Any) -> Any:
    """An app without the keys that only GET shows."""
    if not isinstance(wire, dict):
        return wire
    kept = {k: v for k, v in wire.items() if k not in _READ_ONLY and v is not None}
    configuration = kept.get("configuration")
    ingress = configuration.get("ingress") if isinstance(configuration, dict) else None
    if isinstance(configuration, dict) and isinstance(ingress, dict):
        ingress = {k: v for k, v in ingress.items() if k != "fqdn"}
        kept["configuration"] = {**configuration, "ingress": ingress}
    return kept


def put(wire: Any) -> AppBody:
    """The body of a PUT. Raises Invalid with every wrong field."""
    return decode(AppBody, writable(wire))


def has_template(patch: Any) -> bool:
    """Whether a merge patch touches the template."""
    return isinstance(patch, dict) and isinstance(patch.get("template"), dict)


def patched(view: AppView, patch: Any, domain: str) -> AppBody:
    """The app after a JSON merge patch. Raises Invalid."""
    current = app_wire(view, domain)
    if has_template(patch):
        # A suffix in the patch names the new revision; the one that GET shows is taken already.
        current["template"]["revisionSuffix"] = ""
    return put(merge_patch(current, patch))


def merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7396: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
