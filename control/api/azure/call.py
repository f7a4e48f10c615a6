"""One request of an Azure client, with the names in its path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from control.api.azure import operations, shapes
from control.api.azure.operations import Operation
from control.api.azure.shapes import ResourceIds
from control.api.keys import CHANGES
from control.api.wire.caller import caller_of
from control.api.wire.paging import Window, cut, link, shown
from control.api.wire.problems import reply
from control.changes.changes import Changes
from control.changes.places import LOCATION, Environment, Group
from control.history.caller import Caller
from control.model.errors import Invalid, NotFound
from control.model.kinds import AppName, LabelName, ReplicaName, RevisionName
from control.model.resources import AppView

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the resource it is about, and the names in its path."""

    request: web.Request
    ids: ResourceIds
    names: dict[str, str]

    @property
    def changes(self) -> Changes:
        """The commands that make changes."""
        return self.request.app[CHANGES]

    @property
    def app(self) -> AppName:
        return AppName(self.names["app"].lower())

    @property
    def revision(self) -> RevisionName:
        return RevisionName(self.names["revision"].lower())

    @property
    def replica(self) -> ReplicaName:
        return ReplicaName(self.names["replica"].lower())

    @property
    def label(self) -> LabelName:
        return LabelName(self.names["label"].lower())

    @property
    def caller(self) -> Caller:
        """The caller, for the journal and for conditions."""
        return caller_of(self.request)

    def find_group(self) -> Group:
        """The resource group in the path. Raises NotFound."""
        return self.changes.places.group(self.names["group"])

    def find_app(self) -> AppView:
        """The app in the path, which must be in the path's group. Raises NotFound.

        Raises Conflict for an app with an unreadable record.
        """
        group = self.find_group()
        if self.holds_unreadable():
            return self.changes.read.app(self.app)  # raises NotFound or Conflict
        view = self.changes.read.peek(self.app)
        if view.app is not None and self.changes.places.group_of(view.app) == group:
            return view
        raise NotFound(
            f"The Resource 'Microsoft.App/containerApps/{self.names['app']}' "
            f"under resource group '{group.name}' was not found."
        )

    def holds_unreadable(self) -> bool:
        """Whether the app in the path belongs to its group but has an unreadable record."""
        return self.changes.places.holds_unreadable(self.find_group().key, self.app)

    def find_environment(self) -> Environment:
        """The environment in the path; a change must come by its own group. Raises NotFound."""
        group, name = self.find_group(), self.names["environment"]
        found = self.changes.places.environment(group.key, name)
        if found.group != group.key and self.request.method != "GET":
            raise NotFound(
                f"environment {found.name} is in resource group "
                f"{self.changes.places.group(found.group).name}; change it there"
            )
        return found

    def filters(self, *known: str) -> dict[str, str]:
        """The parts of a `$filter` by name, in lower case. Raises Invalid for an unknown name."""
        text = self.request.query.get("$filter", "").strip()
        names = {name.lower() for name in known}
        found: dict[str, str] = {}
        for term in re.split(r"\s+and\s+", text, flags=re.IGNORECASE) if text else ():
            match = _TERM.fullmatch(term)
            if match is None or match[1].lower() not in names:
                raise Invalid(f"$filter: {term!r} is not understood; use {' eq, '.join(known)} eq")
            found[match[1].lower()] = match[2].lower()
        return found


_TERM = re.compile(r"(\w+) eq '([^']*)'", re.IGNORECASE)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def resource(call: Call, view: AppView) -> dict[str, Any]:
    """An app as the caller sees it."""
    return shapes.app_resource(view, call.changes.domain, call.ids)


def listed(
    call: Call, items: Iterable[T], key: Callable[[T], str], show: Callable[[T], dict[str, Any]]
) -> web.Response:
    """A page of a list; clients follow `nextLink` until there is none."""
    window = Window.of_arm(call.request.query)
    page, after = cut(items, key, window)
    body: dict[str, Any] = {"value": shown(page, show)}
    if after:
        following = {"$top": str(window.limit), "$skipToken": Window(after=after).token}
        body["nextLink"] = link(call.request, **following)
    return reply(body)


def operation_headers(call: Call, operation: Operation, *, with_result: bool) -> dict[str, str]:
    """Where a client can ask how far an operation has come."""
    base = (
        f"{call.ids.origin}/subscriptions/{call.ids.subscription}{shapes.PROVIDER}"
        f"/locations/{LOCATION}"
    )
    version = call.request.query.get("api-version", "2025-07-01")
    tail = f"{operation.id}?api-version={version}"
    headers = {
        "Azure-AsyncOperation": f"{base}/containerappOperationStatuses/{tail}",
        "retry-after-ms": operations.POLL_MS,
    }
    if with_result:
        headers["Location"] = f"{base}/containerappOperationResults/{tail}"
    return headers
