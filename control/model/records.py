"""What a record of the store may hold, so that code which reads it later need not check.

Records are checked once, when they are read: a value of the wrong kind would otherwise fail far
from here, and then for all apps. The dataclasses name these kinds; pydantic knows them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from control.model.kinds import Moment, RevisionName
from control.model.schema import Configuration

D = TypeVar("D")

CHECKED = ConfigDict(extra="forbid")


# Parts of an app's record. They are checked but kept as they are, so each must have exactly its
# type; keys that an earlier version did not write are NotRequired.
_STRICT = ConfigDict(strict=True, extra="forbid")


@with_config(_STRICT)
class FaultKept(TypedDict):
    """The fields of `snapshot.Fault`, and its end by the steady clock: the wall clock may jump."""

    until: Moment
    delay_ms: int
    delay_percent: float
    abort_status: int
    abort_percent: float
    seconds: NotRequired[float]
    ends_at: NotRequired[float]


@with_config(_STRICT)
class Stint(TypedDict):
    """How long a label named a revision, or was to: Unix times; `stop` once it has ended."""

    revision: RevisionName
    status: str
    start: Moment
    stop: NotRequired[Moment]


@with_config(_STRICT)
class Restored(TypedDict, total=False):
    """A rollback that waits; empty when none does. Otherwise only `record` may be missing."""

    configuration: dict[str, Any]
    needs: list[RevisionName]
    record: int  # the journal record it goes back to; missing if a switch of the mode made it


def _is_complete(value: Restored) -> Restored:
    if value:
        if "needs" not in value or "configuration" not in value:
            raise ValueError("a rollback that waits has needs and a configuration")
        Configuration.model_validate(value["configuration"])
    return value


Restoring = Annotated[Restored, AfterValidator(_is_complete)]


@with_config(ConfigDict(extra="allow"))  # keys of a later version are kept
class State(TypedDict):
    """The app-scope state in a journal record: what a rollback to it restores."""

    configuration: dict[str, Any]
    serving: RevisionName
    is_stopped: bool
    resource_group: NotRequired[str]
    environment: NotRequired[str]
    uids: NotRequired[dict[RevisionName, str]]  # another revision may get the same name one day
    ports: NotRequired[dict[RevisionName, int]]  # the revisions' ports
    latest_rule: NotRequired[int]  # which of the rules followed the latest revision
    restores: NotRequired[int]  # the record that this rollback goes back to
    is_waiting: NotRequired[bool]  # the rollback had begun; another record marks its completion


def document(made: type[D]) -> Callable[[dict[str, Any]], D]:
    """A function that reads a record of this type, which raises ValueError."""
    return TypeAdapter(made).validate_python


def reason(error: Exception) -> str:
    """What is wrong with a record, on one line."""
    if not isinstance(error, ValidationError):
        return str(error).partition("\n")[0]
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}".partition("\n")[0]
