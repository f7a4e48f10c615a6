"""Errors that a caller can cause or must hear of: a status, a stable code, a sentence.

They are raised where the rule is, and turned into answers in one place of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

_SHOWN = 5  # the most names in one sentence


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several mistakes in a request: `target` is the path of the value."""

    code: str
    message: str
    target: str = ""


class ControlError(Exception):
    """Base of all errors; `details` lists every broken rule."""

    status = 500
    code = "InternalServerError"

    def __init__(self, message: str, *, code: str = "", details: list[Detail] | None = None):
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details or []


class NotFound(ControlError):
    """Something that the request names does not exist."""

    status = 404
    code = "ResourceNotFound"


def no_app(name: str) -> NotFound:
    """The error for an app that does not exist."""
    return NotFound(f"there is no app {name}; list those there are: turnout app list")


def no_revision(app: str, name: str, known: Iterable[str]) -> NotFound:
    """The error for a revision that does not exist; it lists known ones, the newest first."""
    newest = [*known][: -_SHOWN - 1 : -1]
    return NotFound(f"app {app} has no revision {name}; it has {', '.join(newest) or 'none'}")


class Invalid(ControlError):
    """The request breaks a rule; nothing was changed."""

    status = 400
    code = "InvalidParameterValue"


class Conflict(ControlError):
    """The request is valid, but the present state forbids it."""

    status = 409
    code = "Conflict"


class PreconditionFailed(ControlError):
    """If-Match names a version that is not the present one."""

    status = 412
    code = "PreconditionFailed"


class StoreUnavailable(ControlError):
    """The store cannot be written; what was acknowledged before still stands and is served."""

    status = 503
    code = "StoreUnavailable"


def all_of(details: list[Detail], what: str) -> Invalid:
    """One error for several broken rules, with the code of the first."""
    sentence = "; ".join(d.message for d in details)
    return Invalid(f"{what}: {sentence}", code=details[0].code, details=details)


def together(*checks: Callable[[], object]) -> None:
    """Run all checks, so that one answer lists everything they refuse."""
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
