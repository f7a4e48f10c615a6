"""Which app owns which host: the only place that has the rules for custom domains.

The control plane asks before it accepts a change and before it publishes, the router before it
routes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from router.contract.hosts import fold, parse_name


def host_problem(host: str, domain: str) -> str:
    """What is wrong with a custom domain, other apps aside; empty if it is good."""
    bare = host.removeprefix("*.")
    if fold(bare.encode()) != bare.encode() or "*" in bare:
        return f"{host!r} is not a lower-case host name"
    if bare == domain or bare.endswith("." + domain):
        return f"{host} lies under the domain {domain} itself"
    return ""


class Owners:
    """The names and custom domains of all apps, each with the one app that has it.

    A wildcard also covers the hosts that it gives to its app's labels and revisions
    (`APP---LABEL`, `APP--SUFFIX`), so another app cannot bind one of these.
    """

    __slots__ = ("_dashed", "_of")

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        # The owner of each exact host that reads like an app's label or revision, by (app, zone).
        self._dashed: dict[tuple[str, str], dict[str, str]] = {}

    def conflict(self, app: str, hosts: Iterable[str]) -> str:
        """Why an app cannot have these hosts, with the name of the owner; empty when it can."""
        return next(self.conflicts(app, hosts), "")

    def conflicts(self, app: str, hosts: Iterable[str]) -> Iterator[str]:
        """Each reason why an app cannot have these hosts."""
        owner = self._of.get(app, app)
        if owner != app:
            yield f"the name {app} is a custom domain of app {owner}"
        for host in hosts:
            owner = self.rival(app, host)
            if owner == host:
                yield f"custom domain {host} is the name of app {owner}"
            elif owner:
                yield f"custom domain {host} already belongs to app {owner}"

    def rival(self, app: str, host: str) -> str:
        """The other app that keeps `app` from having `host`; empty if there is none."""
        owner = self._of.get(host, app)
        if owner != app:
            return owner
        for named, zone in _dashed(host):
            if named != app and self._of.get(f"*.{zone}") == named:
                return named
        if host.startswith("*."):
            others = self._dashed.get((app, host[2:]), {}).values()
            return next((other for other in others if other != app), "")
        return ""

    def claim(self, app: str, hosts: Iterable[str]) -> None:
        """Give an app its name and hosts.

        The caller has made sure that `conflict` finds nothing.
        """
        self._of[app] = app
        for host in hosts:
            self._of[host] = app
            for key in _dashed(host):
                self._dashed.setdefault(key, {})[host] = app

    def release(self, app: str, hosts: Iterable[str], *, keeps_name: bool = False) -> None:
        """Take hosts from the app that has them, and its name unless it keeps that."""
        for host in (*hosts, *(() if keeps_name else (app,))):
            if self._of.get(host) != app:
                continue
            del self._of[host]
            for key in _dashed(host):
                self._dashed[key].pop(host, None)
                if not self._dashed[key]:
                    del self._dashed[key]


def _dashed(host: str) -> Iterator[tuple[str, str]]:
    """The app and zone of a host of the form `APP--SUFFIX.ZONE` or `APP---LABEL.ZONE`."""
    first, _, zone = host.partition(".")
    kind, app, _ = parse_name(first)
    if kind != "app" and zone:
        yield app, zone
