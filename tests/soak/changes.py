"""What an operator changes at random, and what of it was acknowledged.

Each call has a note of its own, which the journal keeps in the transaction of the change: one that
was answered with 2xx and is not in the journal after a restart was lost.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.soak.plane import Plane
from tests.support.turnout import template

BUSY = ("one", "two", "three")
_MOST = 4  # revisions of an app that may be active; they are processes
_PAGE = 200
_PAUSE_S = (0.0, 0.3)
_CALL_S = 60.0
FAILS = {"image": "process:", "command": ["sh", "-c", "exit 3"]}
_NEVER = {"type": "Startup", "httpGet": {"path": "/?status=503", "port": 80},
          "periodSeconds": 1, "failureThreshold": 4}  # fmt: skip


def an_app(mode: str, template: dict[str, Any]) -> dict[str, Any]:
    ingress = {"targetPort": 80}
    return {"configuration": {"activeRevisionsMode": mode, "ingress": ingress},
            "template": template}  # fmt: skip


class Seen(NamedTuple):
    """An app at a moment."""

    tag: str
    version: int


class Api:
    """Calls of an operator, whichever control plane is there."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._count = 0
        self._lock = threading.Lock()
        self.acknowledged: dict[str, str] = {}  # by the note: what it was
        self.unchanged: Counter[str] = Counter()  # by kind: acknowledged, as it was so already
        self.statuses: Counter[str] = Counter()
        self.errors: list[str] = []

    def call(
        self, method: str, path: str, body: Any = None, **more: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, answer and its header. Raises OSError when there is none."""
        headers = {"Authorization": f"Bearer {self._plane.tokens['operator']}"}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        data = json.dumps(body).encode() if body is not None else None
        connection = http.client.HTTPConnection(self._plane.admin, timeout=_CALL_S)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return (
            answer.status,
            json.loads(text) if text and is_json else text.decode(),
            answer.headers,
        )

    def change(self, method: str, path: str, body: Any = None, seen: Seen | None = None) -> int:
        """One change, kept in mind once it is acknowledged; 0 when there is no answer.

        One that may be none, as it is so already, is of the app as it was seen, or is refused.
        """
        with self._lock:
            self._count += 1
            more = {"X_Turnout_Note": f"change {self._count}."}
        more |= {"If_Match": seen.tag} if seen is not None else {}
        try:
            status, answer, _ = self.call(method, path, body, **more)
        except OSError:
            self.statuses["no answer"] += 1
            return 0
        with self._lock:
            self.statuses[f"{method} {status}"] += 1
            if status < 300 and seen is not None and answer.get("version") == seen.version:
                self.unchanged[path.split("/")[4]] += 1
            elif status < 300:
                self.acknowledged[more["X_Turnout_Note"]] = f"{method} {path} {status}"
            elif status >= 500 and status != 503:
                self.errors.append(f"{method} {path}: {status} {answer}")
        return status

    def get(self, path: str) -> Any:
        """What is there; None when there is nothing, or no answer."""
        try:
            status, answer, _ = self.call("GET", path)
        except OSError:
            return None
        return answer if status == 200 else None

    def see(self, app: str) -> Seen | None:
        """An app as it is."""
        try:
            status, answer, headers = self.call("GET", f"/v1/apps/{app}")
        except OSError:
            return None
        return Seen(headers["ETag"], answer["version"]) if status == 200 else None

    def journal(self) -> set[str]:
        """The notes of all records."""
        found, path = set(), f"/v1/journal?limit={_PAGE}"
        while path:
            status, answer, _ = self.call("GET", path)
            assert status == 200, answer
            found |= {record["note"] for record in answer["value"]}
            path = answer.get("nextLink", "")
            path = path[path.find("/v1/") :] if path else ""
        return found

    def lost(self) -> dict[str, str]:
        """What was acknowledged and is not there."""
        with self._lock:
            acknowledged = dict(self.acknowledged)
        found = self.journal()
        return {note: what for note, what in acknowledged.items() if note not in found}

    def revisions(self, app: str) -> list[dict[str, Any]]:
        """Of an app; none while there is no answer."""
        found: list[dict[str, Any]] = (self.get(f"/v1/apps/{app}/revisions") or {}).get("value", [])
        return found


class Changes:
    """A thread that changes apps at random, until it is told to end."""

    def __init__(self, api: Api, seed: int) -> None:
        self._api = api
        self._chance = random.Random(seed)
        self._made: Counter[str] = Counter()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """After the change that it is at."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        kinds: list[Callable[[], None]] = [self._busy] * 12 + [self._rolls] * 2 + [self._fails]
        while not self._is_over.wait(self._chance.uniform(*_PAUSE_S)):
            try:
                self._chance.choice(kinds)()
            except Exception as error:  # told at the end, with everything else
                self._api.errors.append(f"a change: {type(error).__name__}: {error}")

    def _next(self, app: str) -> str:
        self._made[app] += 1
        return f"v{self._made[app]}"

    def _rolls(self) -> None:
        """A deploy, or the way back, of an app that switches without losing a request."""
        if self._chance.random() < 0.3:
            seen = self._api.see("rolling")
            self._api.change("POST", "/v1/apps/rolling/rollback", {}, seen)
        else:
            body = an_app("single", template(self._next("rolling")))
            self._api.change("PUT", "/v1/apps/rolling", body)

    def _fails(self) -> None:
        """A deploy that cannot succeed, of an app that serves on as it was."""
        new = template(self._next("failing"))
        if self._chance.random() < 0.5:
            new["containers"][0] |= FAILS
        else:
            new["containers"][0]["probes"] = [_NEVER]
        self._api.change("PUT", "/v1/apps/failing", an_app("single", new))

    def _busy(self) -> None:
        app = self._chance.choice(BUSY)
        seen = self._api.see(app)  # before its revisions, so that they are no older
        method, path, body = self._pick(app)
        self._api.change(method, f"/v1/apps/{app}{path}", body, seen if path else None)

    def _pick(self, app: str) -> tuple[str, str, Any]:
        revisions = self._api.revisions(app)
        active = [r["name"] for r in revisions if r["active"]]
        if not revisions or (len(active) < _MOST and self._chance.random() < 0.2):
            mode = "multiple" if self._chance.random() < 0.7 else "single"
            new = template(self._next(app), replicas=self._chance.randint(1, 2))
            return "PUT", "", an_app(mode, new)
        if len(active) > _MOST:
            return "POST", f"/revisions/{self._chance.choice(active)}/deactivate", None
        revision = self._chance.choice(revisions[:8])
        name, other = revision["name"], "deactivate" if revision["active"] else "activate"
        weight = self._chance.choice([0, 50, 100])
        rules = [{"revisionName": name, "weight": 100 - weight},
                 {"latestRevision": True, "weight": weight}]  # fmt: skip
        choices: list[tuple[str, str, Any]] = [
            ("PUT", "/traffic", {"traffic": rules}),
            ("PUT", "/traffic", {"traffic": rules}),
            ("PUT", f"/labels/{self._chance.choice('ab')}", {"revision": name}),
            ("PUT", f"/labels/{self._chance.choice('ab')}", {"revision": name}),
            ("POST", f"/revisions/{name}/{other}", None),
            ("POST", f"/revisions/{name}/{other}", None),
            ("POST", f"/revisions/{name}/restart", None),
            ("POST", "/rollback", {}),
        ]
        return self._chance.choice(choices)
