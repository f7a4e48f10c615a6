"""Short ways to make the values that tests need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from control.model.schema import AppBody
from router.contract.settings import RouterSettings
from router.contract.snapshot import App, Endpoint, Revision
from router.forwarding.context import Context
from router.routing.table import Compiler


def a_revision(
    suffix: str,
    weight: int = 0,
    *,
    app: str = "shop",
    labels: Sequence[str] = (),
    endpoints: Sequence[str] = ("127.0.0.1:1",),
) -> Revision:
    """A revision of a snapshot."""
    return Revision(
        name=f"{app}--{suffix}",
        weight=weight,
        labels=tuple(labels),
        endpoints=tuple(Endpoint(address, address) for address in endpoints),
    )


def an_app(*revisions: Revision, name: str = "shop", hosts: Sequence[str] = ()) -> App:
    """An app of a snapshot, in multiple mode."""
    return App(name=name, mode="multiple", hosts=tuple(hosts), revisions=tuple(revisions))


def an_edge(*apps: App, domain: str = "localhost", **settings: Any) -> Context:
    """An edge that routes by a table of these apps; needs a running loop."""
    edge = Context(RouterSettings(routes="-", **settings), asyncio.get_running_loop())
    take(edge, *apps, domain=domain)
    return edge


def take(edge: Context, *apps: App, domain: str = "localhost") -> None:
    """Replace an edge's table."""
    compiler = Compiler(edge.registry, edge.stats)
    old, known = edge.table, dict(edge.table.apps)
    new = [compiler.app(app, domain) for app in apps]
    names = {app.name for app in apps}
    edge.table = compiler.table(
        old,
        domain=domain,
        version=old.version + 1,
        epoch="test",
        changed=new,
        dropped=[name for name in known if name not in names],
    )
    for name, gone in known.items():
        compiler.retire(gone, next((r for r in new if r.spec.name == name), None))


def a_body(
    suffix: str = "",
    *,
    mode: str = "multiple",
    image: str = "process:demo",
    replicas: int = 1,
    ingress: dict[str, Any] | None = None,
    **configuration: Any,
) -> AppBody:
    """The body of a PUT."""
    return AppBody.model_validate(
        {
            "configuration": {
                "activeRevisionsMode": mode,
                "ingress": {"targetPort": 80, **(ingress or {})},
                **configuration,
            },
            "template": {
                "revisionSuffix": suffix,
                "containers": [{"image": image}],
                "scale": {"minReplicas": replicas, "maxReplicas": max(replicas, 1)},
            },
        }
    )
