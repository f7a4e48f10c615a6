"""Turns errors into answers: one shape for all, and no stack trace leaves the process."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control.api.wire.depth import MAX_WIDTH, TOO_DEEP, is_deep
from control.api.wire.sentences import sentence
from control.model.errors import ControlError, Detail, Invalid, all_of

log = logging.getLogger("turnout.control")

_MOST_ERRORS = 1 << 15
MAX_DETAILS = 100  # in an answer, since a body may break a rule in every key

M = TypeVar("M", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), status=status, content_type="application/json", headers=headers
    )


def problem(
    status: int, code: str, message: str, details: list[Detail] | None = None
) -> web.Response:
    """The error body that Azure's clients read."""
    error: dict[str, Any] = {"code": code, "message": message}
    if details:
        error["details"] = [
            {"code": d.code, "message": d.message, "target": d.target} for d in details
        ]
    return reply({"error": error}, status)


@web.middleware
async def render_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into answers."""
    try:
        return await handler(request)
    except ControlError as error:
        return problem(error.status, error.code, error.message, error.details)
    except web.HTTPRequestEntityTooLarge:
        return problem(413, "RequestTooLarge", "The request's body is too large.")
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = problem(405, "MethodNotAllowed", f"{request.path} allows {allowed}.")
        response.headers["Allow"] = allowed
        return response
    except web.HTTPNotFound:
        return problem(404, "ResourceNotFound", f"There is nothing at {request.path}.")
    except web.HTTPException:
        raise
    except Exception:  # logged in full; the client learns nothing of the cause
        log.exception("event=request_failed method=%s path=%s", request.method, request.path)
        return problem(500, "InternalServerError", "Something failed here; the log says what.")


async def body_of(request: web.Request) -> Any:
    """The decoded JSON body. Raises Invalid."""
    return decoded(await request.read())


def decoded(raw: bytes) -> Any:
    """The decoded body. Raises Invalid when it is not valid JSON or is nested too deeply."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # orjson's own limit of 1024 protects its stack; ours protects the code behind it.
        raise _refused(
            TOO_DEEP if "limit" in str(error).lower() else f"is not valid JSON: {error}"
        ) from None
    if is_deep(value, MAX_WIDTH):
        raise _refused(TOO_DEEP)
    return value


def _refused(what: str) -> Invalid:
    return all_of([Detail("InvalidRequestContent", f"the body {what}")], "the request")


def decode(model: type[M], value: Any) -> M:
    """The body as a model. Raises Invalid with every wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if error.error_count() > _MOST_ERRORS:  # telling them apart would hold up everybody else
            raise _refused(f"breaks a rule in {error.error_count()} places") from None
        found = _without_too_few(error.errors(include_url=False, include_input=False))
        details = [
            Detail("InvalidParameterValue", sentence(_path(e["loc"]), e), _path(e["loc"]))
            for e in found[:MAX_DETAILS]
        ]
        if len(found) > MAX_DETAILS:
            rest = f"and {len(found) - MAX_DETAILS + 1} more"
            details[-1] = Detail("InvalidParameterValue", rest)
        raise all_of(details, "the request was not accepted") from None


def _without_too_few(found: list[Any]) -> list[Any]:
    """Drop "too few" for lists with wrong items: pydantic does not count such items."""
    places = {error["loc"] for error in found}
    inside = {place[:n] for place in places for n in range(len(place))}
    return [e for e in found if e["type"] != "too_short" or e["loc"] not in inside]


def _path(location: tuple[str | int, ...]) -> str:
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in location]
    return "".join(parts).lstrip(".")
