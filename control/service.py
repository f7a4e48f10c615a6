"""Commands on the store: check, change in memory, record. The API's handlers call nothing else.

A command is synchronous from reading the view to the commit, so two callers never interleave.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from control import commands, journal, rollback
from control.dry_run import Preview, preview
from control.errors import Invalid, NotFound, PreconditionFailed
from control.journal import Record
from control.resources import AppView, Replica, Revision, replace
from control.runtime import Runtimes, check_template
from control.schema import AppBody, TrafficRule
from control.store import Store
from router.hosts import fold

_NEWEST = 1 << 62  # above every record's number
Command = Callable[[AppView, float], AppView]


class Service:
    """What callers can ask of the control plane."""

    def __init__(self, store: Store, runtimes: Runtimes, domain: str) -> None:
        self._store = store
        self._runtimes = runtimes
        self.domain = domain

    # --- reading

    def apps(self) -> list[AppView]:
        """All apps, by name."""
        return [self._store.view(name) for name in self._store.names()]

    def app(self, name: str) -> AppView:
        """One app. Raises NotFound."""
        view = self._store.view(name.lower())
        if view.app is None:
            raise NotFound(f"there is no app {name}")
        return view

    def peek(self, name: str) -> AppView:
        """What there is of an app, also when it has been deleted and its replicas still drain."""
        return self._store.view(name.lower())

    def revision(self, app: str, name: str) -> tuple[AppView, Revision]:
        """One revision. Raises NotFound."""
        view = self.app(app)
        revision = view.revisions.get(name.lower())
        if revision is None:
            raise NotFound(f"app {app} has no revision {name}")
        return view, revision

    def replica(self, app: str, revision: str, name: str) -> Replica:
        """One replica. Raises NotFound."""
        view, found = self.revision(app, revision)
        for replica in view.of(found.name):
            if replica.name == name.lower():
                return replica
        raise NotFound(f"revision {revision} has no replica {name}")

    def logs(self, replica: Replica, tail: int) -> list[str]:
        """The last lines of a replica's output."""
        return self._runtimes[replica.runtime].logs(replica.name, tail)

    # --- changing

    def put(self, name: str, body: AppBody, if_match: str = "") -> tuple[AppView, bool]:
        """Create or replace an app; returns its view and whether it is new."""
        check_template(body.template, self._runtimes)
        self._check_domains(name, body)
        is_new = self._store.view(name).app is None
        view = self._change(
            name,
            lambda view, now: commands.deploy(view, name, body, now, new_suffix),
            if_match=if_match,
            is_new=is_new,
        )
        return view, is_new

    def preview(self, name: str, body: AppBody) -> Preview:
        """What `put` would do. Raises what it would raise."""
        check_template(body.template, self._runtimes)
        self._check_domains(name, body)
        old, now = self._store.view(name.lower()), time.time()
        new = commands.deploy(old, name.lower(), body, now, new_suffix)
        return preview(old, old if _is_same(old, new) else new, self.domain, now)

    def _check_domains(self, name: str, body: AppBody) -> None:
        """A custom domain belongs to one app and lies outside ours (contract §3)."""
        ingress = body.configuration.ingress
        taken: dict[str, str] = {}
        for other in self._store.names():
            other_app = self._store.view(other).app
            other_ingress = other_app.configuration.ingress if other_app is not None else None
            if other != name and other_ingress is not None:
                taken.update({d.name: other for d in other_ingress.custom_domains})
        for domain in ingress.custom_domains if ingress is not None else ():
            bare = domain.name.removeprefix("*.")
            if fold(bare.encode()) != bare.encode() or "*" in bare:
                raise Invalid(f"custom domain {domain.name!r} is not a lower-case host name")
            if bare == self.domain or bare.endswith("." + self.domain):
                raise Invalid(f"custom domain {bare} lies under the domain {self.domain} itself")
            if domain.name in taken:
                raise Invalid(f"custom domain {bare} already belongs to app {taken[domain.name]}")

    def delete(self, name: str, if_match: str = "") -> None:
        """Delete an app; its replicas drain and end."""
        view = self.app(name)
        _match(view, if_match)
        gone = AppView(None, {}, view.replicas)
        entry = journal.record(name.lower(), view, gone, time.time())
        self._store.write(name.lower(), view, gone, entry)

    def set_mode(self, app: str, mode: str, target_label: str = "") -> AppView:
        """Switch between single, multiple and labels."""
        return self._change(app, lambda view, now: commands.set_mode(view, mode, now, target_label))

    def set_traffic(self, app: str, rules: tuple[TrafficRule, ...], if_match: str = "") -> AppView:
        """Replace the traffic rules."""
        return self._change(
            app, lambda view, now: commands.set_traffic(view, rules, now), if_match=if_match
        )

    def add_label(self, app: str, label: str, revision: str) -> AppView:
        """Put a label on a revision."""
        return self._change(
            app, lambda view, now: commands.add_label(view, label, revision.lower(), now)
        )

    def remove_label(self, app: str, label: str) -> AppView:
        """Take a label away."""
        return self._change(app, lambda view, now: commands.remove_label(view, label, now))

    def swap_labels(self, app: str, first: str, second: str) -> AppView:
        """Exchange two labels."""
        return self._change(app, lambda view, now: commands.swap_labels(view, first, second, now))

    def activate(self, app: str, revision: str) -> AppView:
        """Bring a revision back."""
        return self._change(app, lambda view, now: commands.activate(view, revision.lower(), now))

    def deactivate(self, app: str, revision: str) -> AppView:
        """Send a revision to rest."""
        return self._change(app, lambda view, now: commands.deactivate(view, revision.lower(), now))

    def restart(self, app: str, revision: str) -> AppView:
        """Replace a revision's replicas one at a time."""
        return self._change(app, lambda view, now: commands.restart(view, revision.lower(), now))

    def set_stopped(self, app: str, *, is_stopped: bool) -> AppView:
        """Stop or start an app."""
        return self._change(
            app, lambda view, now: commands.set_stopped(view, now, is_stopped=is_stopped)
        )

    # --- journal

    def journal(self, app: str = "", before: int = 0, limit: int = 50) -> list[Record]:
        """What was changed, newest first."""
        return self._store.journal(app.lower(), before or _NEWEST, limit)

    def roll_back(self, app: str, to: int = 0) -> AppView:
        """Restore an app's state as of a record; by default of the one before the last."""
        self.app(app)
        records = self.journal(app, before=to + 1 if to else 0, limit=1 if to else 2)
        if to and (not records or records[0].number != to):
            raise NotFound(f"record {to} of the journal is none of app {app}")
        state = records[-1].state if records else None
        if state is None or (not to and len(records) < 2):
            raise Invalid(f"there is nothing before to roll app {app} back to")
        return self._change(app, lambda view, now: rollback.roll_back(view, state, now))

    def _change(
        self, name: str, command: Command, *, if_match: str = "", is_new: bool = False
    ) -> AppView:
        name = name.lower()
        old = self._store.view(name) if is_new else self.app(name)
        _match(old, if_match)
        new = command(old, time.time())
        if old.app is not None and _is_same(old, new):
            return old  # asking twice for the same is no change
        if new.app is not None:
            new = AppView(
                replace(new.app, version=new.app.version + 1), new.revisions, new.replicas
            )
        self._store.write(name, old, new, journal.record(name, old, new, time.time()))
        return new


def _is_same(old: AppView, new: AppView) -> bool:
    """Whether a command changed nothing: a default that is spelled out is no change either."""
    if old.app is None or new.app is None or old.revisions != new.revisions:
        return False
    unchanged = replace(new.app, updated_at=old.app.updated_at, configuration=old.app.configuration)
    was, now = old.app.configuration, new.app.configuration
    return unchanged == old.app and was.wire() == now.wire() and was.secrets == now.secrets


def _match(view: AppView, if_match: str) -> None:
    version = str(view.app.version) if view.app is not None else ""
    if if_match and if_match != "*" and if_match.strip('"') != version:
        raise PreconditionFailed(
            f"the app is at version {version or 'none'}, not {if_match}; read it again and repeat"
        )


def new_suffix() -> str:
    """Seven letters and digits, a letter first (contract §2)."""
    letters = commands.SUFFIX_ALPHABET[: commands.SUFFIX_LETTERS]
    rest = "".join(
        secrets.choice(commands.SUFFIX_ALPHABET) for _ in range(commands.SUFFIX_LENGTH - 1)
    )
    return secrets.choice(letters) + rest


def merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7396: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
