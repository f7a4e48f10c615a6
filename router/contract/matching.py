"""Which revision of which app a host leads to, for the router and for `explain` alike.

Pure. Both use this module, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from router.contract import outcomes
from router.contract.hosts import app_host, label_host, parse_name, revision_host
from router.contract.outcomes import Outcome
from router.contract.snapshot import App, Revision


class Named(NamedTuple):
    """A host of an app; `reason` is the value of `X-Turnout-Reason`: weight, label or revision."""

    host: str
    reason: str
    revision: Revision | None  # None: the weights choose


def hosts_of(app: App, domain: str) -> Iterator[Named]:
    """Every host that an app answers to; if two entries name one host, the later counts."""
    for zone in (domain, *(host[2:] for host in app.hosts if host.startswith("*."))):
        for revision in app.revisions:
            yield Named(revision_host(revision.name, zone), "revision", revision)
            for label in revision.labels:
                yield Named(label_host(app.name, label, zone), "label", revision)
    for name in (app_host(app.name, domain), *app.hosts):
        yield Named(name, "weight", None)


def drawn(app: App) -> list[Revision]:
    """The revisions that share an app's requests; one that is not ready gives up its weight."""
    return [r for r in app.revisions if r.endpoints and r.weight]


def refusal(app: App, revision: Revision | None) -> Outcome | None:
    """The edge's answer when no revision can take the request; None when one can.

    With `revision` None, the weights would choose.
    """
    if revision is not None:
        return None if revision.endpoints else outcomes.NO_READY_REPLICA
    if not app.revisions:
        return outcomes.APP_STOPPED
    return None if drawn(app) else outcomes.NO_READY_REPLICA


def wildcard_of(host: str) -> str:
    """The wildcard domain that a host lies in."""
    return f"*.{host.partition('.')[2]}"


def is_plain(host: str) -> bool:
    """Whether a wildcard may lead to the host: hosts of revisions and labels must match exactly."""
    return "--" not in host.partition(".")[0]


def unknown(host: str, domain: str, is_app: Callable[[str], bool], wildcards_app: str) -> Outcome:
    """The answer for a host that leads nowhere; `wildcards_app` owns the wildcard that it lies in.

    For a host in the form of a label's or revision's, the answer says which of its parts is
    missing.
    """
    first, _, rest = host.partition(".")
    kind, app, _ = parse_name(first)
    if (rest == domain and is_app(app)) or wildcards_app == app:
        return outcomes.LABEL_NOT_FOUND if kind == "label" else outcomes.REVISION_INACTIVE
    return outcomes.HOST_NOT_FOUND
