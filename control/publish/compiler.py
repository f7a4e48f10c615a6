"""Compiles an app's view into what routers are told. Pure and sorted: equal views, equal bytes."""

from __future__ import annotations

from control.model import traffic
from control.model.resources import AppView
from control.rules import faults
from router.contract import snapshot


def compile_app(view: AppView) -> snapshot.App | None:
    """The app as routers see it; None without ingress, since it then has no hosts."""
    app = view.app
    if app is None or app.configuration.ingress is None:
        return None
    revisions: tuple[snapshot.Revision, ...] = ()
    if not app.is_stopped:
        shares = traffic.shares(view)
        revisions = tuple(
            snapshot.Revision(
                name=name,
                weight=shares[name].weight,
                labels=tuple(sorted(shares[name].labels)),
                endpoints=tuple(
                    snapshot.Endpoint(replica=r.name, address=r.address) for r in view.ready(name)
                ),
                fault=faults.sent(app.faults[name]) if name in app.faults else None,
            )
            for name in sorted(shares)
        )
    return snapshot.App(
        name=app.name,
        # Until the switch to single mode has been made, a split stays in force.
        mode="single" if app.is_single and app.serving else "multiple",
        hosts=tuple(domain.name for domain in app.configuration.ingress.custom_domains),
        revisions=revisions,
        external=app.configuration.ingress.external,
    )
