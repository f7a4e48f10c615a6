"""The seam between a plan and what runs: start, stop, find survivors.

Invariants of every runtime: starting a replica that already runs adopts it. A replica is found by
the marks that say it is ours, never by its name alone, and adopted only if it runs the code of the
same revision (its uid); anything else is never touched. An exit is reported once, and only when
nobody asked for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from control.model.errors import Invalid
from control.model.kinds import ReplicaName
from control.model.resources import Replica, Revision
from control.model.schema import Registry
from control.model.template import EnvironmentVariable, Template

_BY_FORCE = 137
_SIGNALS: dict[int | None, int] = {143: 15, _BY_FORCE: 9}  # signals sent from outside, by exit code


@dataclass(frozen=True, slots=True)
class Exit:
    """How a replica ended; `code` is None when it cannot be known."""

    code: int | None
    tail: tuple[str, ...] = ()  # the last lines of its output
    container: str = ""  # the container that ended; empty for the main one
    is_out_of_memory: bool = False
    is_removed: bool = False
    limit: str = ""  # the memory limit as the template gives it

    @property
    def is_killed(self) -> bool:
        """Whether it was killed from outside, not for exceeding its memory limit."""
        return self.is_removed or (self.code in _SIGNALS and not self.is_out_of_memory)

    def sentence(self, container: str, at: str = "") -> str:
        """A sentence for people; `at` says when it happened."""
        when = f" at {at}" if at else ""
        if self.is_removed:
            return f"Container '{container}' was removed by somebody{when}."
        what = f"exit code '{self.code}'" if self.code is not None else "an unknown exit code"
        text = f"Container '{container}' was terminated with {what}"
        if self.is_out_of_memory:
            limit = f" of {self.limit}" if self.limit else ""
            text += f": it needed more memory than its limit{limit}"
        elif self.is_killed:
            text += f": killed (signal {_SIGNALS[self.code]}){when}, by somebody"
            if self.code == _BY_FORCE:
                text += " or by a host out of memory"
        text += "."
        said = " | ".join(line for line, _ in groupby(self.tail)).rstrip(".")
        return f"{text} Last output: {said}." if said else text


# called with the replica's name when it ends although nobody asked for it
OnExit = Callable[[ReplicaName, Exit], None]


@dataclass(frozen=True, slots=True)
class Started:
    """Where a replica that was started can be reached."""

    address: str  # HOST:PORT for requests
    ports: dict[str, str] = field(default_factory=dict)  # other ports of its own to their HOST:PORT


@dataclass(frozen=True, slots=True)
class Survivor:
    """What is found of a replica that was started earlier."""

    uid: str  # the revision whose code it runs
    is_running: bool
    is_paused: bool = False
    images: dict[str, str] = field(default_factory=dict)  # the images it is made of, to their ids

    def is_of(self, replica: Replica) -> bool:
        """Whether it runs, with the code of the replica's revision."""
        return self.is_running and self.uid == replica.revision_uid


class StartFailed(Exception):
    """A replica could not be started; the message says why, `reason` is the machine word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Launch:
    """A replica to be started, with everything that is needed for it."""

    replica: Replica
    revision: Revision
    siblings: list[Replica]  # the revision's other replicas
    host: str  # the revision's host name
    target_port: int  # the port at which the app's containers listen
    secrets: Mapping[str, str] = field(repr=False)
    registries: tuple[Registry, ...] = ()
    # called with a sentence for people
    progress: Callable[[str], None] = field(default=lambda _: None, repr=False)
    # The images of the revision's replicas as its first replica reported them, and how to report
    # them.
    known_images: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    made_of: Callable[[Mapping[str, str]], None] = field(default=lambda _: None, repr=False)

    def variables(self, given: Iterable[EnvironmentVariable], port: int) -> dict[str, str]:
        """The environment of one of the replica's containers."""
        own = {
            v.name: self.secrets.get(v.secret_ref, "") if v.secret_ref else v.value or ""
            for v in given
        }
        return own | {
            "CONTAINER_APP_NAME": self.revision.app,
            "CONTAINER_APP_REVISION": self.revision.name,
            "CONTAINER_APP_REPLICA_NAME": self.replica.name,
            "CONTAINER_APP_HOSTNAME": self.host,
            "PORT": str(port),
        }


IMAGE = "template.containers[0].image"


def check_words(template: Template) -> None:
    """Raise Invalid for a command or argument that cannot be passed to a program.

    Checked only when it is deployed, so that a record which holds one can still be read.
    """
    for kind, programs in (
        ("containers", template.containers),
        ("initContainers", template.init_containers),
    ):
        for n, program in enumerate(programs):
            for key, words in (("command", program.command), ("args", program.args)):
                for at, word in enumerate(words):
                    if "\0" in word:
                        raise Invalid(
                            f"template.{kind}[{n}].{key}[{at}]: {word!r} holds a NUL character, "
                            "which no program can be given; remove it"
                        )


def check_is_one_program(template: Template) -> None:
    """Raise Invalid for parts of a template that only containers can have."""
    kind = template.runtime
    if len(template.containers) > 1 or template.init_containers:
        raise Invalid(f"template.containers: a {kind}: revision has one container")
    if template.volumes:
        raise Invalid(f"template.volumes: a {kind}: revision has none; it sees the host's files")


class Runtime(Protocol):
    """Runs replicas of one kind."""

    def check(self, template: Template) -> None:
        """Raise Invalid when the runtime cannot run the template."""

    async def start(self, launch: Launch) -> Started:
        """Start or adopt a replica. Raises StartFailed."""

    async def stop(self, replica: Replica, grace_s: float) -> None:
        """Send TERM, wait, then KILL; returns when nothing of it is left.

        No exit is reported then.
        """

    async def survivors(self) -> dict[ReplicaName, Survivor] | None:
        """Our replicas that have left anything behind, by name; None while that is unknown."""

    async def images(self, template: Template) -> dict[str, str]:
        """The present id of each image of a template, as far as it is known here."""

    async def hint(self, replica: Replica) -> str:
        """The likely reason why a running replica does not answer; empty if unknown."""

    async def logs(self, replica: ReplicaName, tail: int, container: str = "") -> list[str]:
        """The last lines of a replica's output; of its main container if none is named."""

    def follow(self, replica: ReplicaName, tail: int, container: str = "") -> AsyncIterator[str]:
        """The last lines of the output, then new lines until the replica has ended."""

    def forget(self, replica: ReplicaName) -> None:
        """Drop what was kept for a replica that is gone for good."""

    async def close(self) -> None:
        """Stop watching; the replicas run on."""
