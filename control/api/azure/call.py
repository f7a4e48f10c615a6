"""One request of an Azure client, read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from control.api.azure import operations, shapes
from control.api.azure.operations import Operation
from control.api.azure.shapes import Place
from control.api.keys import SERVICE
from control.api.paging import Window, cut, link
from control.api.problems import reply
from control.resources import AppView
from control.service import Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read: the service, where it points, and the names in its path."""

    request: web.Request
    place: Place
    names: dict[str, str]

    @property
    def service(self) -> Service:
        """What does the work."""
        return self.request.app[SERVICE]

    @property
    def app(self) -> str:
        """The app's name."""
        return self.names["app"].lower()


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


def resource(call: Call, view: AppView) -> dict[str, Any]:
    """An app as the caller sees it."""
    return shapes.app_resource(view, call.service.domain, call.place)


def listed(
    call: Call, items: Iterable[T], key: Callable[[T], str], show: Callable[[T], dict[str, Any]]
) -> web.Response:
    """A page of a list; clients follow `nextLink` until there is none (arm-wire §1)."""
    window = Window.of_arm(call.request.query)
    page, after = cut(items, key, window)
    body: dict[str, Any] = {"value": [show(item) for item in page]}
    if after:
        following = {"$top": str(window.limit), "$skipToken": Window(after=after).token}
        body["nextLink"] = link(call.request, **following)
    return reply(body)


def operation_headers(call: Call, operation: Operation, *, with_result: bool) -> dict[str, str]:
    """Where a client may ask how far an operation has come (arm-wire §4)."""
    base = (
        f"{call.place.origin}/subscriptions/{call.place.subscription}{shapes.PROVIDER}"
        f"/locations/{shapes.LOCATION}"
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
