"""Traffic rules: checking them, resolving them to revisions, editing labels.

Pure. Every violated rule is reported, not only the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from control.model.errors import Conflict, Detail, Invalid, NotFound, all_of
from control.model.kinds import NO_REVISION, AppName, LabelName, RevisionName, folded
from control.model.resources import App, AppView, Provisioning, Revision
from control.model.schema import DEFAULT_TRAFFIC, TrafficRule
from router.contract.hosts import LABEL, MAX_DNS_LABEL, NAME_RULE

Rules = tuple[TrafficRule, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """A revision's share: its weight on the app's host, and its labels."""

    weight: int = 0
    labels: tuple[str, ...] = ()


def check(
    rules: Sequence[TrafficRule], app: AppName, revisions: Mapping[RevisionName, Revision]
) -> None:
    """Check every rule of contract §6 for an app in multiple mode. Raises Invalid."""
    details = [*_sums(rules), *_references(rules, revisions), *_labels(rules, app, revisions)]
    if details:
        raise all_of(details, "the traffic was not changed")


def check_single(rules: Sequence[TrafficRule], app: AppName) -> None:
    """Check that single mode has only the default rule and labels (contract §6 rule 9)."""
    if not rules:
        return
    rule = rules[0]
    if len(rules) > 1 or not rule.latest_revision or rule.weight != 100:
        raise Invalid(
            "in single mode all traffic goes to the latest ready revision; "
            f"switch first: turnout revision set-mode {app} --mode multiple",
            code="ContainerAppInvalidTrafficInSingleMode",
        )
    details = list(_labels(rules, app, {}))
    if details:
        raise all_of(details, "the traffic was not changed")


def _sum_of(total: int) -> str:
    words = f"the weights sum to {total}; they must sum to 100"
    rest = f"give the other {100 - total} to another revision, or to latest"
    return f"{words}: {rest}" if total < 100 else words


def _sums(rules: Sequence[TrafficRule]) -> Iterator[Detail]:
    total = sum(rule.weight for rule in rules)
    if rules and total != 100:
        yield _bad("Weight", _sum_of(total))


def _references(
    rules: Sequence[TrafficRule], revisions: Mapping[RevisionName, Revision]
) -> Iterator[Detail]:
    if sum(1 for rule in rules if rule.latest_revision) > 1:
        yield _bad("LatestRevision", "at most one rule may say latestRevision")
    times = Counter(rule.revision_name for rule in rules if rule.revision_name)
    for repeated, n in times.items():
        if n > 1:
            yield _bad("Revision", f"revision {repeated} stands in {n} rules; name it once")
    for rule in rules:
        if rule.revision_name is None:
            continue
        name, revision = rule.revision_name, revisions.get(rule.revision_name)
        if revision is None:
            known = ", ".join(sorted(revisions)) or "none"
            yield _bad("Revision", f"there is no revision {name}; the app has {known}")
        elif rule.weight > 0 and not revision.is_active:
            yield _bad(
                "Revision",
                f"revision {name} is inactive and cannot take traffic; activate it first",
            )
        elif rule.label and not revision.is_active:
            yield _bad("Label", f"revision {name} is inactive; activate it before labelling it")


def _labels(
    rules: Sequence[TrafficRule], app: AppName, revisions: Mapping[RevisionName, Revision]
) -> Iterator[Detail]:
    for rule in rules:
        if rule.label:
            yield from _label(rule.label, app)
    times = Counter(rule.label.lower() for rule in rules if rule.label)
    for label, n in times.items():
        if n > 1:
            yield _bad("Label", f"label {label} stands in {n} rules; a label names one revision")


def _label(label: LabelName, app: AppName) -> Iterator[Detail]:
    if not LABEL.fullmatch(label) or label == "latest":
        what = "is reserved" if label == "latest" else f"is not {NAME_RULE.format(64)}"
        yield _bad("Label", f"label {label!r} {what}")
    elif len(f"{app}---{label}") > MAX_DNS_LABEL:
        room = MAX_DNS_LABEL - len(app) - 3
        yield _bad("Label", f"label {label} makes a host too long for DNS; at most {room} letters")


def _bad(what: str, message: str) -> Detail:
    return Detail(f"ContainerAppInvalidTraffic{what}", message, "configuration.ingress.traffic")


def check_label(label: LabelName, app: AppName) -> None:
    """Check the label's name. Raises Invalid."""
    details = list(_label(label, app))
    if details:
        raise all_of(details, "the label was not changed")


# --- resolving


def rules_of(app: App) -> Rules:
    """The traffic rules in force; the default rule when none were written."""
    ingress = app.configuration.ingress
    return (ingress.traffic if ingress is not None else ()) or DEFAULT_TRAFFIC


def latest_ready(view: AppView) -> RevisionName:
    """The revision that `latestRevision` means: the newest active one that has been ready.

    While none has been ready, it is the newest active one, so that other revisions do not get its
    weight.
    """
    active = [r for r in view.revisions.values() if r.is_active]
    ready = [r for r in active if r.provisioning is Provisioning.PROVISIONED]
    newest = max(ready or active, key=lambda r: r.number, default=None)
    return newest.name if newest is not None else NO_REVISION


def shares(view: AppView) -> dict[RevisionName, Share]:
    """The share of each active revision by name; the weights sum to 100 or to 0."""
    app = view.app
    if app is None:
        return {}
    rules = rules_of(app)
    latest = latest_ready(view)
    if app.is_single and app.serving:
        labels = tuple(rule.label for rule in rules if rule.latest_revision and rule.label)
        resolved = {app.serving: Share(100, labels)}
    else:
        resolved = _resolve(rules, latest)
    return {
        name: resolved.get(name, Share())
        for name, revision in view.revisions.items()
        if revision.is_active
    }


def _resolve(rules: Rules, latest: RevisionName) -> dict[RevisionName, Share]:
    found: dict[RevisionName, Share] = {}
    for rule in rules:
        name = rule.revision_name or latest
        had = found.get(name, Share())
        labels = (*had.labels, rule.label) if rule.label else had.labels
        found[name] = Share(had.weight + rule.weight, labels)
    return found


def who_serves(view: AppView) -> str:
    """A sentence about which revisions answer on the app's host."""
    found = [(name, s.weight) for name, s in shares(view).items() if s.weight and view.ready(name)]
    if len(found) == 1:
        return f"{found[0][0]} serves"
    names = " and ".join(f"{name} ({weight} %)" for name, weight in found)
    return f"{names} serve" if names else "nobody serves"


# --- editing


def with_rules(view: AppView, rules: Rules, now: float) -> AppView:
    """The view with other traffic rules. Raises Conflict when there is no ingress."""
    app = view.existing_app()
    if app.configuration.ingress is None:
        raise Conflict(f"app {app.name} has no ingress, so it has no traffic to set")
    return view.with_app(replace(app.with_ingress(traffic=rules), updated_at=now))


# --- editing labels: one write, the weights untouched


def holder(rules: Rules, label: LabelName) -> TrafficRule | None:
    """The traffic rule that carries a label; None when the label is not in use."""
    return next((r for r in rules if r.label and r.label.lower() == label.lower()), None)


def with_label(rules: Rules, label: LabelName, revision: Revision) -> Rules:
    """The rules with a label moved to a revision. Raises Conflict if that is inactive."""
    if not revision.is_active:
        raise Conflict(f"revision {revision.name} is inactive; activate it before labelling it")
    moved = without_label(rules, label)
    mine = next((r for r in moved if r.revision_name == revision.name), None)
    if mine is None:
        rule = TrafficRule(revision_name=revision.name, weight=0, label=label)
        return (*moved, rule)
    return tuple(r.model_copy(update={"label": label}) if r is mine else r for r in moved)


def without_label(rules: Rules, label: LabelName) -> Rules:
    """The rules without a label; a rule that only carried the label goes, too."""
    kept = []
    for rule in rules:
        if not rule.label or rule.label.lower() != label.lower():
            kept.append(rule)
        elif rule.weight or rule.latest_revision:
            kept.append(rule.model_copy(update={"label": None}))
    return tuple(kept)


def with_swapped(rules: Rules, first: LabelName, second: LabelName) -> Rules:
    """The rules with two labels exchanged. Raises NotFound when either is not in use."""
    one, other = holder(rules, first), holder(rules, second)
    for label, rule in ((first, one), (second, other)):
        if rule is None:
            raise NotFound(f"no revision holds the label {label}")
    swapped = {id(one): folded(second), id(other): folded(first)}
    return tuple(
        r.model_copy(update={"label": swapped[id(r)]}) if id(r) in swapped else r for r in rules
    )


def without_revision(rules: Rules, name: RevisionName) -> Rules:
    """The rules without those that name a revision which is being removed."""
    return tuple(r for r in rules if r.revision_name != name)
