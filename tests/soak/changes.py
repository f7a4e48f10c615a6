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
from typing import Any

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


class Api:
    """Calls of an operator, whichever control plane is there."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._count = 0
        self._lock = threading.Lock()
        self.acknowledged: dict[str, str] = {}  # by the note: what it was
        self.unchanged: Counter[str] = Counter()  # acknowledged, as it was so already
        self.statuses: Counter[str] = Counter()
        self.errors: list[str] = []

    def call(self, method: str, path: str, body: Any = None, note: str = "") -> tuple[int, Any]:
        """Status and answer. Raises OSError when there is none."""
        headers = {"Authorization": f"Bearer {self._plane.tokens['operator']}"}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"X-Turnout-Note": note} if note else {}
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
        return answer.status, json.loads(text) if text and is_json else text.decode()

    def change(self, method: str, path: str, body: Any = None, before: int = -1) -> int:
        """One change, kept in mind once it is acknowledged; 0 when there is no answer.

        `before` is the app's version if the change may be none: what is so already.
        """
        with self._lock:
            self._count += 1
            note = f"change {self._count}."
        try:
            status, answer = self.call(method, path, body, note)
        except OSError:
            self.statuses["no answer"] += 1
            return 0
        with self._lock:
            self.statuses[f"{method} {status}"] += 1
            if status < 300:
                self.acknowledged[note] = f"{method} {path} {status}"
            if status < 300 and before >= 0 and self._is_none(answer, before, path, note):
                del self.acknowledged[note]
                self.unchanged[path.split("/")[4]] += 1
            if status >= 500 and status != 503:
                self.errors.append(f"{method} {path}: {status} {answer}")
        return status

    def _is_none(self, answer: Any, before: int, path: str, note: str) -> bool:
        """Whether an answer says that nothing had to be changed.

        Turnout may have changed the app after `before`: then the journal tells, while control
        lives. If it does not, the change counts as one.
        """
        if answer.get("version") == before:
            return True
        try:
            status, recent = self.call("GET", f"/v1/journal?app={path.split('/')[3]}")
        except OSError:
            return False
        return status == 200 and note not in {record["note"] for record in recent["value"]}

    def version(self, app: str) -> int:
        """Of an app; 0 when there is none, or no answer."""
        try:
            status, answer = self.call("GET", f"/v1/apps/{app}")
        except OSError:
            return 0
        return int(answer["version"]) if status == 200 else 0

    def journal(self) -> set[str]:
        """The notes of all records."""
        found, path = set(), f"/v1/journal?limit={_PAGE}"
        while path:
            status, answer = self.call("GET", path)
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
        try:
            status, answer = self.call("GET", f"/v1/apps/{app}/revisions")
        except OSError:
            return []
        return answer["value"] if status == 200 else []


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
            before = self._api.version("rolling")
            self._api.change("POST", "/v1/apps/rolling/rollback", {}, before)
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
        before = self._api.version(app)
        method, path, body = self._pick(app)
        before = before if path else -1  # a deploy always changes something
        self._api.change(method, f"/v1/apps/{app}{path}", body, before)

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
