"""Custom domains of an app, and whether a change may have them. Pure.

The rules are the router's, so what is accepted here is never refused there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from control.model.errors import Invalid
from control.model.kinds import AppName
from control.model.resources import AppView
from router.contract.domains import Owners, host_problem


def claimed(view: AppView) -> tuple[str, ...]:
    """The custom domains that an app has, and those that a rollback under way will bring back."""
    app = view.app
    if app is None:
        return ()
    ingress = app.configuration.ingress
    names = [d.name for d in ingress.custom_domains] if ingress is not None else []
    restored = (app.restoring.get("configuration") or {}).get("ingress") or {}
    names += [d["name"] for d in restored.get("custom_domains", ())]
    return tuple(dict.fromkeys(names))


def follow(owners: Owners, name: AppName, old: AppView, new: AppView) -> None:
    """Let the index of owners follow a change of an app."""
    if old.app is new.app:  # as with every verdict on a replica
        return
    if old.app is not None:
        owners.release(name, claimed(old))
    if new.app is not None:
        owners.claim(name, claimed(new))


def check(owners: Owners, domain: str, changes: Mapping[AppName, tuple[AppView, AppView]]) -> None:
    """Whether all changed apps can have their domains, each given as (old, new) by name.

    Together, so that two apps can exchange a domain. Raises Invalid, which names the owner. A
    conflict that stood before is not the change's fault and does not keep the app from changing.
    """
    had = {name: claimed(old) for name, (old, _) in changes.items() if old.app is not None}
    wanted = {name: claimed(new) for name, (_, new) in changes.items() if new.app is not None}
    standing = {name: {*owners.conflicts(name, hosts)} for name, hosts in had.items()}
    for name, hosts in had.items():
        owners.release(name, hosts)
    given: list[tuple[AppName, tuple[str, ...]]] = []
    try:
        for name, hosts in _kept_first(domain, had, wanted):
            if new := {*owners.conflicts(name, hosts)} - standing.get(name, set()):
                raise Invalid(f"{min(new)}; remove it there first, or choose another")
            owners.claim(name, hosts)
            given.append((name, hosts))
    finally:
        for name, hosts in given:
            owners.release(name, hosts)
        for name, hosts in had.items():
            owners.claim(name, hosts)


def _kept_first(
    domain: str, had: Mapping[AppName, tuple[str, ...]], wanted: Mapping[AppName, tuple[str, ...]]
) -> Iterator[tuple[AppName, tuple[str, ...]]]:
    """What apps keep, then all they want: whoever asks for a kept host hears who has it."""
    for name, hosts in wanted.items():
        if name in had:
            yield name, tuple(host for host in hosts if host in had[name])
    for name, hosts in wanted.items():
        for host in sorted({*hosts} - {*had.get(name, ())}):
            if wrong := host_problem(host, domain):
                raise Invalid(f"custom domain {wrong}")
        yield name, hosts
