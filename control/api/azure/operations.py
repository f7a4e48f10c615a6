"""Long-running operations. Nothing of them is stored, so nothing can be lost.

An operation's id names its app and revision, and its status is read from these. So it survives a
restart of the control plane, and two clients that wait for the same thing see the same.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from control.model.errors import NotFound
from control.model.kinds import NO_REVISION, AppName, RevisionName
from control.model.resources import AppView, Provisioning

POLL_MS = "300"  # `Retry-After: 0` would mean 30 s to the SDK (azure-wire §4)
_FAILED = "ContainerAppOperationError"
_SUPERSEDED = "it was deactivated before it was ready, or a newer one took its place"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client waits for: a revision to be provisioned, or an app to be gone."""

    kind: str  # deploy, delete, done
    app: AppName
    revision: RevisionName = NO_REVISION
    uid: str = ""  # the revision's, as a later one may have its name

    @classmethod
    def of_deploy(cls, view: AppView) -> Operation:
        """The operation that waits for the newest revision of an app."""
        assert view.app is not None
        latest = view.revisions.get(view.app.latest)
        return cls("deploy", view.app.name, view.app.latest, latest.uid if latest else "")

    @property
    def id(self) -> str:
        """The id, which can be part of a path."""
        text = "|".join((self.kind, self.app, self.revision, self.uid))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse(name: str) -> Operation:
    """The operation with that id. Raises NotFound."""
    try:
        text = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        kind, app, *about = text.split("|")
        if len(about) > 2:
            raise ValueError(text)
    except ValueError:
        raise NotFound(f"there is no operation {name}") from None
    revision, *uid = about or [""]
    # ids of earlier versions have no uid
    return Operation(kind, AppName(app), RevisionName(revision), *uid)


def status(operation: Operation, view: AppView) -> tuple[str, dict[str, Any] | None]:
    """`InProgress`, `Succeeded`, `Failed` or `Canceled`; the last two come with an error."""
    if operation.kind == "delete":
        is_gone = view.app is not None or not view.replicas
        return ("Succeeded" if is_gone else "InProgress"), None
    if operation.kind == "done":
        return "Succeeded", None
    revision = view.revisions.get(operation.revision)
    if view.app is None:
        return _canceled(operation, "the app was deleted meanwhile")
    # the revision was purged, or another has its name
    if revision is None or operation.uid not in ("", revision.uid):
        return _canceled(operation, _SUPERSEDED)
    if revision.provisioning is Provisioning.FAILED:
        return "Failed", _error(
            f"Failed to provision revision for container app '{operation.app}'. "
            f"Error details: {revision.reason}: {revision.message}"
        )
    if revision.provisioning is Provisioning.PROVISIONED:
        return "Succeeded", None
    if not revision.is_active:
        return _canceled(operation, _SUPERSEDED)
    if view.app.is_stopped:  # a stopped app starts nothing, so the operation would never end
        return _canceled(operation, "the app was stopped before the revision was ready")
    return "InProgress", None


def _canceled(operation: Operation, why: str) -> tuple[str, dict[str, Any]]:
    name = operation.revision or operation.app
    return "Canceled", {"code": "Canceled", "message": f"{name} was not provisioned: {why}"}


def _error(message: str) -> dict[str, Any]:
    return {"code": _FAILED, "message": message}
