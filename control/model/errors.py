"""Errors a caller can cause or must know of: a status, a stable code, a sentence.

Raised where the rule is, rendered once at the edge of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_SHOWN = 5  # of many names


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several things wrong with a request: `target` is the path of the value."""

    code: str
    message: str
    target: str = ""


class ControlError(Exception):
    """Base of all; `details` lists every violated rule."""

    status = 500
    code = "InternalServerError"

    def __init__(self, message: str, *, code: str = "", details: list[Detail] | None = None):
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details or []


class NotFound(ControlError):
    """What was named does not exist."""

    status = 404
    code = "ResourceNotFound"


def no_app(name: str) -> NotFound:
    """There is no such app."""
    return NotFound(f"there is no app {name}; list those there are: turnout app list")


def no_revision(app: str, name: str, known: Iterable[str]) -> NotFound:
    """There is no such revision; the newest of those that there are come first."""
    newest = [*known][: -_SHOWN - 1 : -1]
    return NotFound(f"app {app} has no revision {name}; it has {', '.join(newest) or 'none'}")


class Invalid(ControlError):
    """The request breaks a rule; nothing was changed."""

    status = 400
    code = "InvalidParameterValue"


class Conflict(ControlError):
    """The request is sound but the present state forbids it."""

    status = 409
    code = "Conflict"


class PreconditionFailed(ControlError):
    """If-Match named another version than the present one."""

    status = 412
    code = "PreconditionFailed"


class StoreUnavailable(ControlError):
    """The store cannot be written; what was acknowledged still stands and is served."""

    status = 503
    code = "StoreUnavailable"


def all_of(details: list[Detail], what: str) -> Invalid:
    """One error for several violated rules; the first rule's code is the error's."""
    sentence = "; ".join(d.message for d in details)
    return Invalid(f"{what}: {sentence}", code=details[0].code, details=details)


def together(*checks: Callable[[], object]) -> None:
    """Make all checks: what several of them refuse is told in one answer, not in as many rounds."""
    refused: list[Invalid] = []
    for check in checks:
        try:
            check()
        except Invalid as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        details = [d for e in refused for d in e.details or [Detail(e.code, e.message)]]
        raise all_of(details, "the request was not accepted")
