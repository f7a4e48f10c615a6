"""Log Analytics workspaces, by name and id: az makes one for each environment unless told not to.

What replicas write stays with turnout, where `turnout logs` and `az containerapp logs` read it.
Nothing is sent to a workspace, and nothing can be asked of one.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import asdict, dataclass, field, replace

from control.changes.dry_run import NO_APP_CHANGES, Previews
from control.history.caller import Caller
from control.model.errors import Invalid, NotFound
from control.model.records import CHECKED, document
from control.store import Store

KIND = "workspace"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace. `group` is the key of its group; environments name it by `customer_id`."""

    __pydantic_config__ = CHECKED

    group: str
    name: str
    location: str
    customer_id: str
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name.lower()}"


class Workspaces:
    """All workspaces. Reads are from memory, which changes after the commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = store.documents(KIND, document(Workspace))

    def all(self, group: str = "") -> list[Workspace]:
        """All workspaces, or those of a group, by name."""
        found = (self._known[key] for key in sorted(self._known))
        return [w for w in found if not group or w.group == group.lower()]

    def get(self, group: str, name: str) -> Workspace:
        """One workspace. Raises NotFound."""
        found = self._known.get(f"{group}/{name}".lower())
        if found is None:
            raise NotFound(
                f"The Resource 'Microsoft.OperationalInsights/workspaces/{name}' "
                f"under resource group '{group}' was not found."
            )
        return found

    def put(
        self, caller: Caller, group: str, name: str, location: str, tags: dict[str, str]
    ) -> Workspace | Previews:
        """Create a workspace in a group that exists, or replace its tags."""
        if _NAME.fullmatch(name) is None:
            raise Invalid(
                f"{name!r} is not a workspace name: 4 to 63 letters, digits and dashes, "
                "no dash first or last"
            )
        made = Workspace(group.lower(), name, location, str(uuid.uuid4()))
        workspace = replace(self._known.get(made.key, made), tags=tags)
        if caller.is_dry_run:
            return NO_APP_CHANGES
        self._store.put_documents([(KIND, workspace.key, asdict(workspace))])
        self._known[workspace.key] = workspace
        return workspace

    def remove(self, caller: Caller, group: str, name: str) -> bool | Previews:
        """Forget a workspace; False when there is none."""
        key = f"{group}/{name}".lower()
        if key not in self._known:
            return False
        if caller.is_dry_run:
            return NO_APP_CHANGES
        self._store.put_documents([(KIND, key, None)])
        self.forget(key)
        return True

    def forget(self, key: str) -> None:
        """The record of that key has been deleted."""
        del self._known[key]
