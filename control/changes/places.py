"""Resource groups and environments: where apps live, and the rules of moving in and out.

Two exist from the start, without a record: the group of the setting `resource_group`, in which
the native API puts its apps, and in it the environment of the setting `environment`. An app that
lives there has empty keys, so both settings can change later. Every environment has the server's
domain: an app's name is used once in all of them, because its host is APP.DOMAIN.

Keys are names in lower case; of an environment, its group's and its own: `group/name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from control.changes.dry_run import NO_APP_CHANGES, Previews
from control.changes.workspaces import KIND, Workspaces
from control.history.caller import Caller
from control.model.errors import Conflict, Invalid, NotFound, StoreUnavailable
from control.model.kinds import AppName
from control.model.records import CHECKED, document
from control.model.resources import App, AppView
from control.model.schema import AppBody
from control.store import Store

LOCATION = "local"
_GROUP_NAME = re.compile(r"[\w.()-]{0,89}[\w()-]", re.ASCII)
_ENVIRONMENT_NAME = re.compile(r"[a-z](?!.*--)([a-z0-9-]{0,58}[a-z0-9])?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Group:
    """A resource group; the name is as it was created."""

    __pydantic_config__ = CHECKED

    name: str
    location: str = LOCATION
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Environment:
    """A managed environment. `group` is the key of its group."""

    __pydantic_config__ = CHECKED

    group: str
    name: str
    location: str = LOCATION
    tags: dict[str, str] = field(default_factory=dict)
    workspace: str = ""  # the id of the one it names for its logs

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name.lower()}"


class Places:
    """All groups and environments. Reads are from memory, which changes after the commit."""

    def __init__(self, store: Store, group: str, environment: str) -> None:
        self._store = store
        self.workspaces = Workspaces(store)
        self._home = Group(group)
        self._shared = Environment(self._home.key, environment)
        self._groups = {self._home.key: self._home} | store.documents("group", document(Group))
        self._environments = {self._shared.key: self._shared} | store.documents(
            "environment", document(Environment)
        )
        self._adopt()

    def _adopt(self) -> None:
        """Make what something is in and has no record: it is older than records, or damaged."""
        for key in {app.environment for app in self._apps()} - {"", *self._environments}:
            group, _, name = key.partition("/")
            self._adopt_one("environment", key, Environment(group, name))
        wanted = {app.resource_group for app in self._apps()}
        wanted |= {environment.group for environment in self._environments.values()}
        for key in wanted - {"", *self._groups}:
            self._adopt_one("group", key, Group(key))

    def _adopt_one(self, kind: str, key: str, value: Group | Environment) -> None:
        """Without a record while none can be written; the next start makes it again."""
        try:
            self._write(kind, key, value)
        except StoreUnavailable:
            self._know(key, value)

    # --- reading

    def groups(self) -> list[Group]:
        """All groups, by name."""
        return [self._groups[key] for key in sorted(self._groups)]

    def group(self, name: str) -> Group:
        """A group in any case of its name. Raises NotFound."""
        group = self._groups.get(name.lower())
        if group is None:
            raise NotFound(
                f"Resource group '{name}' could not be found.", code="ResourceGroupNotFound"
            )
        return group

    def group_of(self, app: App) -> Group:
        """The group that an app lives in."""
        key = self._key(app.resource_group)
        return self._groups.get(key) or Group(key)

    def environments(self, group: str = "") -> list[Environment]:
        """All environments, or those of a group, by name."""
        found = (self._environments[key] for key in sorted(self._environments))
        return [e for e in found if not group or e.group == group.lower()]

    def environment(self, group: str, name: str) -> Environment:
        """An environment in its own group; the shared one is also found through any other.

        Raises NotFound.
        """
        self.group(group)
        found = self._own(group, name)
        if found is None and name.lower() == self._shared.name.lower():
            found = self._environments[self._shared.key]
        if found is None:
            raise NotFound(
                f"The Resource 'Microsoft.App/managedEnvironments/{name}' "
                f"under resource group '{group}' was not found."
            )
        return found

    def environment_of(self, app: App) -> Environment:
        """The environment that an app runs in."""
        key = app.environment or self._shared.key
        group, _, name = key.partition("/")
        return self._environments.get(key) or Environment(group, name)

    def apps_in(self, group: str) -> list[App]:
        """The apps that live in a group, by name."""
        return [app for app in self._apps() if self.group_of(app).key == group.lower()]

    def holds_unreadable(self, group: str, app: AppName) -> bool:
        """Whether an app with a record that cannot be read is in a group, or may be."""
        found = self._store.unreadable.get(app)
        if found is None:
            return False
        return found.resource_group is None or self._key(found.resource_group) == group.lower()

    def unreadable_in(self, group: str) -> list[AppName]:
        """The apps that are in a group and have a record that cannot be read, by name."""
        return sorted(
            name
            for name, found in self._store.unreadable.items()
            if found.resource_group is not None and self._key(found.resource_group) == group.lower()
        )

    def _key(self, resource_group: str) -> str:
        return resource_group or self._home.key

    def _apps(self) -> Iterator[App]:
        for name in self._store.names():
            app = self._store.view(name).app
            if app is not None:
                yield app

    def _own(self, group: str, name: str) -> Environment | None:
        return self._environments.get(f"{group}/{name}".lower())

    # --- where an app goes

    def placed(self, body: AppBody, view: AppView) -> AppBody:
        """The body with keys in place of names. Raises NotFound, Conflict, Invalid.

        A group, an environment or a location is given once: an app does not move.
        """
        app, changes = view.app, dict[str, str | None]()
        if body.resource_group is not None:
            group = self.group(body.resource_group)
            if app is not None and group != self.group_of(app):
                raise Conflict(
                    f"an app {app.name} already exists in resource group "
                    f"{self.group_of(app).name}; hosts are APP.DOMAIN and all environments share "
                    "the domain, so a name is used once: choose another"
                )
            changes["resource_group"] = "" if group.key == self._home.key else group.key
        if body.environment is not None:
            changes["environment"] = self._environment_key(body.environment, app)
        moves = app is not None and app.location and not _same(body.location or "", app.location)
        if body.location and app is not None and moves:
            raise Conflict(
                f"app {app.name} is in location {app.location}, which cannot be changed to "
                f"{body.location}; leave the location out",
                code="InvalidResourceLocation",
            )
        return body.model_copy(update=changes)

    def _environment_key(self, path: str, app: App | None) -> str:
        group, _, name = path.rpartition("/")
        try:
            found = self.environment(group or self._home.name, name)
        except NotFound as error:
            raise _no_environment(group or self._home.name, name) from error
        if app is not None and found != self.environment_of(app):
            raise Invalid(
                f"environmentId: app {app.name} runs in environment "
                f"{self.environment_of(app).name}, which cannot be changed; make a new app there"
            )
        return "" if found.key == self._shared.key else found.key

    def check_is_there(self, app: App) -> None:
        """Whether the group and environment of an app still exist. Raises NotFound, Invalid."""
        self.group(app.resource_group or self._home.key)
        if app.environment and app.environment not in self._environments:
            group, _, name = app.environment.partition("/")
            raise _no_environment(group, name)

    # --- changing

    def put_group(
        self, caller: Caller, name: str, location: str | None, tags: dict[str, str] | None
    ) -> tuple[Group, bool] | Previews:
        """Create a group, or replace its tags; returns it and whether it is new."""
        if _GROUP_NAME.fullmatch(name) is None:
            raise Invalid(
                f"{name!r} is not a resource group name: at most 90 letters, digits and ._-(), "
                "no dot last",
                code="InvalidResourceGroup",
            )
        old = self._groups.get(name.lower())
        group = old or Group(name, location or LOCATION)
        if location and not _same(location, group.location):
            raise Conflict(
                f"resource group {group.name} already exists in location {group.location}; "
                f"its location cannot be changed to {location}",
                code="InvalidResourceGroupLocation",
            )
        group = replace(group, tags=group.tags if tags is None else tags)
        if caller.is_dry_run:
            return NO_APP_CHANGES
        self._write("group", group.key, group)
        return group, old is None

    def put_environment(
        self,
        caller: Caller,
        group: str,
        name: str,
        location: str | None,
        tags: dict[str, str] | None,
        workspace: str | None = None,
    ) -> Environment | Previews:
        """Create an environment in a group that exists, or replace its tags and workspace."""
        home = self.group(group)
        if _ENVIRONMENT_NAME.fullmatch(name) is None:
            raise Invalid(
                f"{name!r} is not an environment name: at most 60 of a-z, 0-9 and single dashes, "
                "a letter first, no dash last"
            )
        old = self._own(group, name)
        environment = old or Environment(home.key, name, location or home.location)
        if location and not _same(location, environment.location):
            raise Conflict(
                f"environment {environment.name} already exists in location "
                f"{environment.location}; its location cannot be changed to {location}",
                code="InvalidResourceLocation",
            )
        environment = replace(
            environment,
            tags=environment.tags if tags is None else tags,
            workspace=environment.workspace if workspace is None else workspace,
        )
        if caller.is_dry_run:
            return NO_APP_CHANGES
        self._write("environment", environment.key, environment)
        return environment

    def check_removal(self, name: str) -> None:
        """Whether a group can go with all that is in it. Raises NotFound and Conflict."""
        group = self.group(name)
        if group.key == self._home.key:
            raise Conflict(
                f"resource group {group.name} is where the native API's apps live; "
                "it cannot be deleted, but each app in it can"
            )
        lost = [n for n, u in self._store.unreadable.items() if u.resource_group is None]
        if lost:
            raise Conflict(
                f"resource group {group.name} may have these apps in it, whose records cannot be "
                f"read (quarantined); delete them first: {', '.join(sorted(lost))}"
            )
        own = {app.name for app in self.apps_in(group.key)} | {*self.unreadable_in(group.key)}
        for environment in self.environments(group.key):
            foreign = [name for name in self._running_in(environment) if name not in own]
            if foreign:
                raise _in_use(environment, foreign)

    def remove_group(self, name: str) -> None:
        """Forget a group and its environments, once its apps are gone."""
        group = self.group(name)
        gone = [("environment", e.key) for e in self.environments(group.key)]
        gone += [(KIND, w.key) for w in self.workspaces.all(group.key)]
        self._remove([*gone, ("group", group.key)])

    def remove_environment(self, caller: Caller, group: str, name: str) -> bool | Previews:
        """Forget an environment; False when there is none. Raises Conflict while apps use it."""
        self.group(group)
        environment = self._own(group, name)
        if environment is None:
            return False
        if environment.key == self._shared.key:
            raise Conflict(
                f"environment {environment.name} is this control plane's own and cannot be "
                "deleted; stop turnout instead"
            )
        apps = self._running_in(environment)
        if apps:
            raise _in_use(environment, apps)
        if caller.is_dry_run:
            return NO_APP_CHANGES
        self._remove([("environment", environment.key)])
        return True

    def _running_in(self, environment: Environment) -> list[AppName]:
        names = [app.name for app in self._apps() if self.environment_of(app) == environment]
        for name, found in self._store.unreadable.items():
            key = found.environment
            if key is None or (key or self._shared.key) == environment.key:
                names.append(name)
        return sorted(names)

    def _write(self, kind: str, key: str, value: Group | Environment) -> None:
        self._store.put_documents([(kind, key, asdict(value))])
        self._know(key, value)

    def _know(self, key: str, value: Group | Environment) -> None:
        if isinstance(value, Group):
            self._groups[key] = value
        else:
            self._environments[key] = value

    def _remove(self, gone: list[tuple[str, str]]) -> None:
        self._store.put_documents([(kind, key, None) for kind, key in gone])
        for kind, key in gone:
            if kind == KIND:
                self.workspaces.forget(key)
            else:
                known: dict[str, Any] = self._groups if kind == "group" else self._environments
                known.pop(key, None)


def _no_environment(group: str, name: str) -> Invalid:
    return Invalid(
        f"environmentId: there is no environment {name} in resource group {group}; create it first",
        code="ManagedEnvironmentNotFound",
    )


def _in_use(environment: Environment, apps: Sequence[str]) -> Conflict:
    return Conflict(
        f"environment {environment.name} has apps; delete them first: {', '.join(apps)}"
    )


def _same(one: str, other: str) -> bool:
    """Azure writes a location as "West Europe" and as westeurope."""
    return _plain(one) == _plain(other)


def _plain(location: str) -> str:
    return re.sub(r"[\s()]", "", location).lower()
