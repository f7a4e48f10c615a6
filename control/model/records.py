"""What a record of the store may hold, so that whoever reads it later need not ask.

It is checked once, when it is read: a value that is not of its kind would fail far from here, and
then for all apps. The dataclasses name these kinds; pydantic knows them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from control.model.kinds import Moment
from control.model.schema import Configuration

D = TypeVar("D")

CHECKED = ConfigDict(extra="forbid")


class _Part(BaseModel):
    """Checked only: what is kept is the value as it is, so it has to be of its very type."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Fault(_Part):
    until: Moment
    delay_ms: int = 0
    delay_percent: float = 0.0
    abort_status: int = 0
    abort_percent: float = 0.0
    seconds: float = 0.0
    ends_at: float = 0.0


class _Restoring(_Part):
    configuration: dict[str, Any]
    needs: list[str]
    record: int = 0


class _Stint(_Part):
    revision: str
    status: str
    start: Moment
    stop: Moment = 0.0


def _is_fault(value: dict[str, Any]) -> dict[str, Any]:
    _Fault.model_validate(value)
    return value


def _is_restoring(value: dict[str, Any]) -> dict[str, Any]:
    if value:
        Configuration.model_validate(_Restoring.model_validate(value).configuration)
    return value


def _is_stint(value: dict[str, Any]) -> dict[str, Any]:
    _Stint.model_validate(value)
    return value


FaultKept = Annotated[dict[str, Any], AfterValidator(_is_fault)]
Restoring = Annotated[dict[str, Any], AfterValidator(_is_restoring)]
Stint = Annotated[dict[str, Any], AfterValidator(_is_stint)]


def document(made: type[D]) -> Callable[[dict[str, Any]], D]:
    """What makes one of the documents beside apps out of its record. Raises ValueError."""
    return TypeAdapter(made).validate_python


def reason(error: Exception) -> str:
    """What is wrong with a record, in one line."""
    if not isinstance(error, ValidationError):
        return str(error).partition("\n")[0]
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}".partition("\n")[0]
