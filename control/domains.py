"""Custom domains of an app, and whether a change may have them (contract §3). Pure.

The rules are the router's, so what is accepted here is never refused there.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.errors import Invalid
from control.resources import AppView
from router.domains import Owners, host_problem


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


def follow(owners: Owners, name: str, old: AppView, new: AppView) -> None:
    """Let the index of owners follow a change of an app."""
    if old.app is not None:
        owners.release(name, claimed(old))
    if new.app is not None:
        owners.claim(name, claimed(new))


def check(owners: Owners, domain: str, changes: Mapping[str, tuple[AppView, AppView]]) -> None:
    """Whether all changed apps can have their domains, each given as (old, new) by name.

    Together, so that two apps can exchange a domain. Raises Invalid, which names the owner. What
    an app had before is not asked about again.
    """
    for name, (old, _) in changes.items():
        if old.app is not None:
            owners.release(name, claimed(old))
    given: dict[str, tuple[str, ...]] = {}
    try:
        for name, (old, new) in changes.items():
            if new.app is None:
                continue
            hosts = claimed(new)
            _check_one(owners, domain, name, set(hosts) - set(claimed(old)))
            owners.claim(name, hosts)
            given[name] = hosts
    finally:
        for name, hosts in given.items():
            owners.release(name, hosts)
        for name, (old, _) in changes.items():
            if old.app is not None:
                owners.claim(name, claimed(old))


def _check_one(owners: Owners, domain: str, name: str, added: set[str]) -> None:
    for host in sorted(added):
        if wrong := host_problem(host, domain):
            raise Invalid(f"custom domain {wrong}")
    if rival := owners.conflict(name, sorted(added)):
        raise Invalid(f"{rival}; remove it there first, or choose another")
