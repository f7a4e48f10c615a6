"""Which revision of which app a host leads to: what the router compiles, and `explain` tells.

Pure. Both ask here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from router.contract import outcomes
from router.contract.hosts import app_host, label_host, parse_name, revision_host
from router.contract.outcomes import Outcome
from router.contract.snapshot import App, Revision


class Named(NamedTuple):
    """A host of an app; `reason` is the word of `X-Turnout-Reason`: weight, label or revision."""

    host: str
    reason: str
    revision: Revision | None  # None: drawn by weight


def hosts_of(app: App, domain: str) -> Iterator[Named]:
    """Every host that an app answers to; of two that are the same, the later one counts."""
    for zone in (domain, *(host[2:] for host in app.hosts if host.startswith("*."))):
        for revision in app.revisions:
            yield Named(revision_host(revision.name, zone), "revision", revision)
            for label in revision.labels:
                yield Named(label_host(app.name, label, zone), "label", revision)
    for name in (app_host(app.name, domain), *app.hosts):
        yield Named(name, "weight", None)


def drawn(app: App) -> list[Revision]:
    """The revisions that share an app's requests: those that are not ready give up their weight."""
    return [r for r in app.revisions if r.endpoints and r.weight]


def refusal(app: App, revision: Revision | None) -> Outcome | None:
    """The edge's own answer where nobody else can: for one revision, or for what is drawn."""
    if revision is not None:
        return None if revision.endpoints else outcomes.NO_READY_REPLICA
    if not app.revisions:
        return outcomes.APP_STOPPED
    return None if drawn(app) else outcomes.NO_READY_REPLICA


def wildcard_of(host: str) -> str:
    """The wildcard domain that a host lies in."""
    return f"*.{host.partition('.')[2]}"


def is_plain(host: str) -> bool:
    """Whether a wildcard leads there; a revision or label is only reached by its own host."""
    return "--" not in host.partition(".")[0]


def unknown(host: str, domain: str, is_app: Callable[[str], bool], wildcards_app: str) -> Outcome:
    """The answer to a host that leads nowhere; `wildcards_app` owns the wildcard that it lies in.

    A host that is made like that of a label or revision tells what is missing.
    """
    first, _, rest = host.partition(".")
    kind, app, _ = parse_name(first)
    if (rest == domain and is_app(app)) or wildcards_app == app:
        return outcomes.LABEL_NOT_FOUND if kind == "label" else outcomes.REVISION_INACTIVE
    return outcomes.HOST_NOT_FOUND
