"""From replicas that were found to a table, and what was settled on the way. Pure.

Whoever runs containers may contradict themselves; a working app is never taken down for it:
the rule below decides, and says so.

- Containers of one revision that disagree: the newest one counts.
- No weights: all traffic to the newest revision with a ready container; in single mode always.
- Weights that do not sum to 100 are scaled to it; a revision without one then has none.
- A label or host that two want: the newest ready revision has the label, the app that came first
  the host.
- A container whose labels cannot be read is left out.
- What the control plane or the routes file names, app or host, is theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from router.contract.domains import host_problem
from router.contract.snapshot import App, Endpoint, Revision, Snapshot
from router.sources.docker.labels import Replica

Problems = list[str]


def table(
    replicas: Iterable[Replica], ready: set[str], domain: str
) -> tuple[tuple[App, ...], Problems]:
    """The table of these replicas' apps; `ready` holds the ids of containers that take requests."""
    by_app: dict[str, list[Replica]] = {}
    for replica in sorted(replicas, key=lambda r: (r.container.created, r.container.id)):
        by_app.setdefault(replica.app, []).append(replica)
    problems: Problems = []
    owners: dict[str, str] = {}
    apps = [
        _app(name, found, ready, domain, owners, problems)
        for name, found in sorted(by_app.items(), key=lambda item: item[1][0].container.created)
    ]
    return tuple(sorted(apps, key=lambda app: app.name)), problems


def _app(
    name: str,
    replicas: list[Replica],
    ready: set[str],
    domain: str,
    owners: dict[str, str],
    problems: Problems,
) -> App:
    revisions: dict[str, list[Replica]] = {}
    for replica in replicas:
        revisions.setdefault(replica.revision, []).append(replica)
    newest = {r: found[-1] for r, found in revisions.items()}
    for revision, found in revisions.items():
        if len({(r.weight, r.labels) for r in found}) > 1:
            problems.append(f"{revision}: its containers disagree; {found[-1].container.name}, "
                            "the newest, counts")  # fmt: skip
    order = sorted(revisions, key=lambda r: newest[r].container.created)
    serving = [r for r in order if any(c.container.id in ready for c in revisions[r])]
    mode = _mode(newest.values(), problems, name)
    weights = _weights(order, serving, newest, mode, problems)
    labels = _labels(order, serving, newest, problems)
    return App(
        name,
        mode,
        tuple(_hosts(name, replicas, domain, owners, problems)),
        tuple(
            Revision(
                revision,
                weights.get(revision, 0),
                tuple(sorted(labels.get(revision, ()))),
                tuple(
                    Endpoint(c.container.name, c.address)
                    for c in revisions[revision]
                    if c.container.id in ready
                ),
            )
            for revision in sorted(revisions)
        ),
    )


def _mode(newest: Iterable[Replica], problems: Problems, app: str) -> str:
    """The mode that the newest container names; by default multiple if any label gives a weight."""
    found = sorted(newest, key=lambda r: r.container.created)
    said = [r.mode for r in found if r.mode]
    if len(set(said)) > 1:
        problems.append(f"{app}: turnout.mode is both single and multiple; {said[-1]}, said last")
    if said:
        return said[-1]
    return "multiple" if any(r.weight is not None for r in found) else "single"


def _weights(
    order: list[str],
    serving: list[str],
    newest: Mapping[str, Replica],
    mode: str,
    problems: Problems,
) -> dict[str, int]:
    given = {r: newest[r].weight for r in order if newest[r].weight is not None}
    if mode == "single" or not any(given.values()):
        last = (serving or order)[-1]
        if given and mode == "single":
            problems.append(f"{newest[last].app}: weights mean nothing in single mode")
        return {last: 100}
    found = {r: weight or 0 for r, weight in given.items()}
    total = sum(found.values())
    if total == 100:
        return found
    app = newest[order[-1]].app
    problems.append(f"{app}: the weights sum to {total}; they are scaled to 100")
    return _scaled(found, total)


def _scaled(weights: dict[str, int], total: int) -> dict[str, int]:
    """Weights scaled to a sum of 100, by the largest remainder."""
    exact = {r: weight * 100 / total for r, weight in weights.items()}
    scaled = {r: int(share) for r, share in exact.items()}
    missing = 100 - sum(scaled.values())
    for r in sorted(exact, key=lambda r: scaled[r] - exact[r])[:missing]:
        scaled[r] += 1
    return scaled


def _labels(
    order: list[str], serving: list[str], newest: Mapping[str, Replica], problems: Problems
) -> dict[str, list[str]]:
    """Give each label to one revision: the newest ready one, or else the newest."""
    wanted: dict[str, list[str]] = {}
    for revision in order:
        for label in newest[revision].labels:
            wanted.setdefault(label, []).append(revision)
    held: dict[str, list[str]] = {}
    for label, revisions in wanted.items():
        holder = ([r for r in revisions if r in serving] or revisions)[-1]
        held.setdefault(holder, []).append(label)
        if len(revisions) > 1:
            problems.append(f"label {label} is on {', '.join(revisions)}; {holder} has it")
    return held


def _hosts(
    app: str, replicas: list[Replica], domain: str, owners: dict[str, str], problems: Problems
) -> Iterator[str]:
    for host in dict.fromkeys(host for r in replicas for host in r.hosts):
        if wrong := host_problem(host, domain):
            problems.append(f"{app}: {wrong}")
        elif owners.setdefault(host, app) != app:
            problems.append(f"{app}: host {host} belongs to {owners[host]} already")
        else:
            yield host


def combine(first: Snapshot, second: Snapshot) -> Snapshot:
    """Add discovered apps to those of a control plane or a file, which win every conflict."""
    problems = [*first.problems, *second.problems]
    names = {app.name for app in first.apps}
    hosts = {host: app.name for app in first.apps for host in app.hosts}
    found = []
    for app in second.apps:
        if app.name in names:
            problems.append(f"{app.name}: containers are left out, an app of this name is there")
        else:
            kept = tuple(_free(app, first.domain, hosts, problems))
            found.append(dataclasses.replace(app, hosts=kept))
    apps = sorted((*first.apps, *found), key=lambda app: app.name)
    return Snapshot(
        first.domain, tuple(apps), problems=tuple(sorted(problems)), refused=first.refused
    )


def _free(app: App, domain: str, hosts: dict[str, str], problems: list[str]) -> Iterator[str]:
    for host in app.hosts:
        if host in hosts:
            problems.append(f"{app.name}: host {host} belongs to {hosts[host]} already")
        elif wrong := host_problem(host, domain):
            problems.append(f"{app.name}: {wrong}")
        else:
            yield host
