"""App, Revision, Replica: what the store keeps. Frozen; a change makes a new value.

A revision's template never changes after creation. A replica has a node, even while there is only
one. Moments are by the wall clock, for people, unless marked as steady (`clock.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import orjson
from pydantic import TypeAdapter

from control.model.errors import NotFound, no_revision
from control.model.kinds import (
    NO_REVISION,
    Address,
    AppName,
    Count,
    LabelName,
    Moment,
    ReplicaName,
    RevisionName,
    RuntimeName,
)
from control.model.records import CHECKED, FaultKept, Restored, Restoring, Stint
from control.model.schema import Configuration
from control.model.template import Template

__all__ = ["App", "Provisioning", "Replica", "ReplicaState", "Revision", "replace"]


class Provisioning(StrEnum):
    """How far an active revision has come."""

    PROVISIONING = "Provisioning"
    PROVISIONED = "Provisioned"
    FAILED = "Failed"


class ReplicaState(StrEnum):
    """A replica's state; `states.py` has the table of allowed moves."""

    PENDING = "Pending"
    STARTING = "Starting"
    READY = "Ready"
    UNREADY = "Unready"
    RESTARTING = "Restarting"  # probes gave it up: it is ended, then started again
    BACKOFF = "Backoff"
    DRAINING = "Draining"
    STOPPING = "Stopping"


@dataclass(frozen=True, slots=True)
class App:
    """An app's configuration, which may change, and which of its revisions matter."""

    __pydantic_config__ = CHECKED

    name: AppName
    configuration: Configuration
    template: Template  # as last sent
    created_at: Moment
    updated_at: Moment
    version: Count = 0  # of this record, for compare-and-set
    latest: RevisionName = NO_REVISION  # the newest revision
    latest_ready: RevisionName = (
        NO_REVISION  # the newest that has been ready; latestRevision rules follow it
    )
    serving: RevisionName = NO_REVISION  # single mode: the revision that has all traffic
    candidate: RevisionName = NO_REVISION  # single mode: takes over once it is ready
    kept: RevisionName = (
        NO_REVISION  # chosen by a rollback: a switch to single mode keeps it, not the latest ready
    )
    pending: dict[LabelName, RevisionName] = field(
        default_factory=dict
    )  # labels mode: label to who gets it
    restoring: Restoring = field(default_factory=Restored)  # a rollback waiting for revisions
    problem: str = ""  # for callers: why the last change was given up
    faults: dict[RevisionName, FaultKept] = field(
        default_factory=dict
    )  # by revision: snapshot.Fault
    label_history: dict[LabelName, list[Stint]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    resource_group: str = ""  # key in places.py; empty for the group of the settings
    environment: str = ""  # likewise for its environment
    location: str = ""
    is_stopped: bool = False
    revisions_made: Count = 0

    @property
    def is_single(self) -> bool:
        """Whether only one revision serves at a time."""
        return self.configuration.active_revisions_mode == "single"

    @property
    def recreates(self) -> bool:
        """Whether the old revision ends before the new one starts; never while entering a split."""
        meant = self.restoring.get("configuration")
        if not self.is_single or (meant and meant["active_revisions_mode"] != "single"):
            return False
        strategies = (self.configuration.update_strategy, (meant or {}).get("update_strategy"))
        return "recreate" in strategies

    def with_ingress(self, **changes: object) -> App:
        """The app with changed ingress settings; unchanged if it has no ingress."""
        if self.configuration.ingress is None:
            return self
        ingress = self.configuration.ingress.model_copy(update=changes)
        return replace(
            self, configuration=self.configuration.model_copy(update={"ingress": ingress})
        )

    @property
    def restored(self) -> frozenset[RevisionName]:
        """The revisions that a waiting rollback needs."""
        return frozenset(self.restoring.get("needs", ()))


@dataclass(frozen=True, slots=True)
class Revision:
    """An immutable template under a name, and the state of its deployment."""

    __pydantic_config__ = CHECKED

    name: RevisionName
    app: AppName
    number: Count  # the order of creation
    template: Template
    created_at: Moment
    uid: str = ""  # tells it from a later revision of the same name
    is_active: bool = True
    activated_at: Moment = 0.0
    attempt_at: Moment = 0.0  # the `activated_at` that `attempt_since` belongs to
    attempt_since: Moment = 0.0  # steady: the progress deadline counts from here
    last_active_at: Moment = 0.0  # when it was deactivated
    provisioning: Provisioning = Provisioning.PROVISIONING
    needed: Count = 1  # how many ready replicas make it ready
    generation: Count = 0  # of its replicas; raised by a restart
    has_been_ready: bool = False  # stays true, however it is doing now
    images: dict[str, str] = field(default_factory=dict)  # the ids of its first replica's images
    pulls: bool = False  # pull the images even if they are here
    target_port: Count = 0  # where its containers listen; 0: the app's port
    leaving_port: Count = 0  # the previous port, until enough replicas are ready at the new one
    leaving_generation: Count = 0  # generation of the replicas at the previous port
    reason: str = ""  # machine word for a failure
    message: str = ""  # sentence for a person

    @property
    def suffix(self) -> str:
        """The part of the name after `--`."""
        return self.name.partition("--")[2]


@dataclass(frozen=True, slots=True)
class Replica:
    __pydantic_config__ = CHECKED

    name: ReplicaName
    app: AppName
    revision: RevisionName
    created_at: Moment
    revision_uid: str = ""  # the revision whose code it runs
    runtime: RuntimeName = "process"
    node: str = "local"
    generation: Count = 0
    target_port: Count = 0  # the revision's port when the replica was made
    state: ReplicaState = ReplicaState.PENDING
    address: Address = ""  # HOST:PORT where it listens
    ports: dict[str, Address] = field(default_factory=dict)  # other ports that its probes ask
    started_at: Moment = 0.0
    ready_at: Moment = 0.0  # steady
    restarts: Count = 0  # since it was last in good health
    restarts_ever: Count = 0
    last_failed_at: Moment = 0.0  # why it was last restarted, kept when it is well again
    last_reason: str = ""
    last_message: str = ""
    exit_code: int | None = None
    exited: str = ""  # the container that ended
    start_again_at: Moment = 0.0  # steady
    drain_since: Moment = 0.0  # steady
    reason: str = ""
    message: str = ""
    grace_s: Count = 30

    @property
    def is_leaving(self) -> bool:
        """Whether it will never be in rotation again."""
        return self.state in (ReplicaState.DRAINING, ReplicaState.STOPPING)

    @property
    def is_ready(self) -> bool:
        return self.state is ReplicaState.READY


@dataclass(frozen=True, slots=True)
class AppView:
    """One app with everything that belongs to it, at one moment."""

    app: App | None
    revisions: Mapping[RevisionName, Revision] = field(default_factory=dict)
    replicas: Mapping[ReplicaName, Replica] = field(default_factory=dict)
    # The store gives each view that it shows a version, which values made from the view keep: a
    # writer thereby says which view its change was made from.
    serial: int = field(default=0, compare=False)

    def existing_app(self) -> App:
        """The app. Raises NotFound when there is none."""
        if self.app is None:
            raise NotFound("there is no such app")
        return self.app

    def existing_revision(self, name: RevisionName) -> Revision:
        """A revision by name. Raises NotFound."""
        revision = self.revisions.get(name)
        if revision is None:
            raise no_revision(self.existing_app().name, name, self.revisions)
        return revision

    def with_app(self, app: App | None) -> AppView:
        return replace(self, app=app)

    def with_revision(self, *revisions: Revision) -> AppView:
        """With these, changed or added."""
        if not revisions:
            return self
        return replace(self, revisions={**self.revisions, **{r.name: r for r in revisions}})

    def with_replica(self, *replicas: Replica) -> AppView:
        """With these, changed or added."""
        if not replicas:
            return self
        return replace(self, replicas={**self.replicas, **{r.name: r for r in replicas}})

    def without_replica(self, name: ReplicaName) -> AppView:
        return replace(self, replicas={n: r for n, r in self.replicas.items() if n != name})

    def of(self, revision: RevisionName) -> list[Replica]:
        """A revision's replicas, oldest first, without those of an earlier revision of its name."""
        known = self.revisions.get(revision)
        found = [
            r
            for r in self.replicas.values()
            if r.revision == revision and (known is None or r.revision_uid == known.uid)
        ]
        return sorted(found, key=lambda r: (r.created_at, r.name))

    def ready(self, revision: RevisionName) -> list[Replica]:
        """A revision's replicas that take requests."""
        return [r for r in self.of(revision) if r.is_ready]


def to_doc(resource: App | Revision | Replica) -> dict[str, Any]:
    """A resource as JSON-ready values, for the store."""
    plain = {name: getattr(resource, name) for name in resource.__slots__}
    if isinstance(resource, Replica):
        return plain
    plain["template"] = resource.template.model_dump(mode="json")
    if isinstance(resource, App):
        plain["configuration"] = resource.configuration.model_dump(mode="json")
    return plain


AsTemplate = Callable[[Any], Template]

_APP, _REVISION = TypeAdapter(App).validate_python, TypeAdapter(Revision).validate_python
_REPLICA = TypeAdapter(Replica).validate_json


def app_from(raw: bytes, as_template: AsTemplate = Template.model_validate) -> App:
    """Read an App from the store. Raises ValueError, TypeError and KeyError."""
    doc = orjson.loads(raw)
    doc["configuration"] = Configuration.model_validate(doc["configuration"])
    doc["template"] = as_template(doc["template"])
    return _APP(doc)


def revision_from(raw: bytes, as_template: AsTemplate = Template.model_validate) -> Revision:
    """Read a Revision from the store. Raises ValueError, TypeError and KeyError."""
    doc = orjson.loads(raw)
    doc["template"] = as_template(doc["template"])
    doc["provisioning"] = Provisioning(doc["provisioning"])
    doc.setdefault("has_been_ready", doc["provisioning"] is Provisioning.PROVISIONED)
    return _REVISION(doc)


def replica_from(raw: bytes) -> Replica:
    """Read a Replica from the store. Raises ValueError."""
    return _REPLICA(raw)
