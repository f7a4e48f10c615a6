"""What `az containerapp logs show` reads: a token, and streams of lines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

from control.api.azure.call import Call
from control.api.wire.problems import reply
from control.api.wire.representation import moment
from control.model.errors import Invalid
from router.process.guard import TOKEN, waits

_MAX_TAIL = 300  # az's own limit
_VALID = timedelta(hours=1)
_CLOSE_S = 2.0


async def get_auth_token(call: Call) -> web.Response:
    """Return the caller's own token: the streams are guarded by the same middleware."""
    call.changes.read.app(call.app)
    token = call.request.get(TOKEN)  # a unix socket needs no token
    expires = (datetime.now(UTC) + _VALID).isoformat()
    value = token.value if token is not None else "none"
    return reply({"properties": {"token": value, "expires": expires}})


async def stream(call: Call) -> web.StreamResponse:
    """Stream a container's output."""
    names = call.names
    _, revision = call.changes.read.revision(call.app, call.revision)
    replica = call.changes.read.replica(call.app, revision.name, call.replica)
    if _is_followed(call):
        waits(call.request)
        return await _send(call, call.changes.read.follow(replica, _tail(call), names["container"]))
    lines = await call.changes.read.logs(replica, _tail(call), names["container"])
    return await _send(call, _all(lines))


async def refuse_exec(call: Call) -> web.StreamResponse:
    """Answer `az containerapp exec` with a sentence in az's own frames.

    az ends in a traceback when the handshake is refused. A frame that begins with 2 is an error of
    the proxy's: az prints it and ends with the socket.
    """
    sentence = "turnout does not run commands in replicas; use docker exec where they run"
    socket = web.WebSocketResponse(timeout=_CLOSE_S)
    if not socket.can_prepare(call.request):
        raise Invalid(sentence)
    await socket.prepare(call.request)
    await socket.send_bytes(b"\x02" + sentence.encode())
    await socket.close()
    return socket


async def events(call: Call) -> web.StreamResponse:
    """Stream the journal as Azure's system events."""
    app = call.changes.read.app(call.app).app
    assert app is not None
    records = call.changes.read.journal(app.name, limit=_tail(call))
    return await _send(call, _all(_events(reversed(records))), is_event=True)


def _events(records: Iterator[Any]) -> list[str]:
    found = [
        {
            "TimeStamp": moment(record.at),
            "Type": "Normal",
            "ContainerAppName": record.app,
            "RevisionName": "",
            "ReplicaName": "",
            "Msg": "; ".join(record.changes),
            "Reason": "Changed",
            "EventSource": record.who,
            "Count": 1,
        }
        for record in records
    ]
    return [orjson.dumps(event).decode() for event in found]


async def _all(lines: list[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line


async def _send(
    call: Call, lines: AsyncIterator[str], *, is_event: bool = False
) -> web.StreamResponse:
    is_text = call.request.query.get("output", "json").lower() == "text"
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(call.request)
    with contextlib.suppress(ConnectionError):
        async for line in lines:
            if not is_event and not is_text:
                now = datetime.now(UTC).isoformat()
                line = orjson.dumps({"TimeStamp": now, "Log": line}).decode()
            await response.write(line.encode() + b"\n")
    return response


def _tail(call: Call) -> int:
    text = call.request.query.get("tailLines", "20")
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_TAIL:
        raise Invalid(f"tailLines: {text!r} is not a number up to {_MAX_TAIL}")
    return int(text)


def _is_followed(call: Call) -> bool:
    return call.request.query.get("follow", "false").lower() == "true"
