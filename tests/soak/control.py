"""`python -m tests.soak control`: random changes to three apps, and SIGKILLs of control.

What was acknowledged must be there after every restart, and in the end everything converges:
each revision that should run has its replicas, once.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.turnout import Turnout, marked, template, until

APPS = ("one", "two", "three")
_MOST = 6  # revisions of an app that may be active; they are processes


class Soak:
    """The control plane of the moment, and what it acknowledged."""

    def __init__(self, state: Path, seed: int) -> None:
        self.state = state
        self.chance = random.Random(seed)
        self.control = self.start()
        self.versions: dict[str, int] = {}
        self.made: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def start(self) -> Turnout:
        return Turnout(
            "control", admin="127.0.0.1:0", state=self.state / "s", restart_backoff_s=0.2
        ).wait_ready()

    def change(self) -> None:
        """One change of one app; remembered once it is acknowledged."""
        app = self.chance.choice(APPS)
        method, path, body = self.pick(app)
        try:
            status, answer = self.control.call(method, f"/v1/apps/{app}{path}", body)
        except OSError:
            self.done["not answered"] += 1
            return
        self.done[f"{method} {status}"] += 1
        assert status < 500, answer
        if status < 300 and "version" in answer:
            self.versions[app] = max(answer["version"], self.versions.get(app, 0))

    def pick(self, app: str) -> tuple[str, str, Any]:
        revisions = self.revisions(app)
        active = [r["name"] for r in revisions if r["active"]]
        if not revisions or (len(active) < _MOST and self.chance.random() < 0.3):
            self.made[app] += 1
            mode = "multiple" if self.chance.random() < 0.7 else "single"
            configuration = {"activeRevisionsMode": mode, "ingress": {}}
            made = template(f"v{self.made[app]}", replicas=self.chance.randint(1, 2))
            return "PUT", "", {"configuration": configuration, "template": made}
        name = self.chance.choice(revisions)["name"]
        weight = self.chance.choice([0, 50, 100])
        rules = [{"revisionName": name, "weight": 100 - weight},
                 {"latestRevision": True, "weight": weight}]  # fmt: skip
        choices: list[tuple[str, str, Any]] = [
            ("PUT", "/traffic", {"traffic": rules}),
            ("POST", f"/revisions/{name}/deactivate", None),
            ("POST", f"/revisions/{name}/deactivate", None),
            ("POST", f"/revisions/{name}/activate", None),
            ("POST", f"/revisions/{name}/restart", None),
            ("PUT", f"/labels/{self.chance.choice('ab')}", {"revision": name}),
            ("POST", "/rollback", {}),
        ]
        return self.chance.choice(choices)

    def revisions(self, app: str) -> list[dict[str, Any]]:
        try:
            status, answer = self.control.call("GET", f"/v1/apps/{app}/revisions")
        except OSError:
            return []
        return answer["value"] if status == 200 else []

    def kill_soon(self) -> threading.Timer:
        timer = threading.Timer(self.chance.uniform(0, 3), self.control.process.kill)
        timer.start()
        return timer

    def check(self) -> None:
        """After a restart: nothing acknowledged is missing."""
        for app, version in self.versions.items():
            found = self.control.must("GET", f"/v1/apps/{app}")["version"]
            assert found >= version, f"{app} is at {found}, {version} was acknowledged"

    def converge(self) -> None:
        """In the end: what should run runs, once."""

        def wanted() -> Counter[str]:
            return Counter(
                {
                    r["name"]: r["template"]["scale"]["minReplicas"]
                    for app in APPS
                    for r in self.revisions(app)
                    if r["active"]
                }
            )

        def running() -> Counter[str]:
            found: Counter[str] = Counter()
            for pid in marked(self.state, also=b"TURNOUT_REPLICA="):
                environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                name = next(x for x in environ if x.startswith(b"CONTAINER_APP_REVISION="))
                found[name.partition(b"=")[2].decode()] += 1
            return found

        until(lambda: wanted() == running(), timeout_s=90)

    def end(self) -> None:
        for app in APPS:
            self.control.call("DELETE", f"/v1/apps/{app}")
        until(lambda: not marked(self.state, also=b"TURNOUT_REPLICA="), timeout_s=90)
        self.control.stop()


def soak(seconds: float, seed: int) -> None:
    """Soak, and say what happened."""
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEST_MARK"] = folder
        os.environ["PATH"] += f":{folder}"  # a mark that replicas inherit
        run, ends_at, kills = Soak(Path(folder), seed), time.monotonic() + seconds, 0
        while time.monotonic() < ends_at:
            timer = run.kill_soon()
            while timer.is_alive():
                run.change()
            timer.join()
            run.control.kill()
            kills += 1
            run.control = run.start()
            run.check()
        run.converge()
        run.end()
    print(f"{kills} kills, {dict(run.done)}; nothing acknowledged was lost, nothing is doubled")
