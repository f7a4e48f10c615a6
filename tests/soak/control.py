"""`python -m tests.soak control`: a control plane and two routers, while everything goes wrong.

Apps that nobody harms are asked all the time through both routers, and every request has to be
answered. What was acknowledged must be there after every restart, and in the end everything
converges: each revision that should run has its replicas, once. Needs root, for a small disk.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.soak.abuse import raised
from tests.soak.changes import BUSY, Api, Changes, an_app
from tests.soak.plane import Away, Plane
from tests.soak.troubles import Troubles, served_at
from tests.soak.visitors import Loss, Tally, Visitors
from tests.support.turnout import marked, template, until

INNOCENTS = ("still", "demo", "rolling", "failing")
_CONVERGED_S = 90.0
_PEACE_S = (0.0, 4.0)  # between two troubles


@dataclass
class Outcome:
    """What a soak has shown."""

    seed: int
    tally: Tally = field(default_factory=Tally)
    aways: list[Away] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    unchanged: Counter[str] = field(default_factory=Counter)
    lost_writes: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[Loss]:
        """Requests that should have been answered and were not."""
        return [loss for loss in self.tally.losses if not loss.explained(self.aways)]

    @property
    def held(self) -> bool:
        """Whether nothing was lost, nothing failed."""
        return not (self.lost or self.lost_writes or self.errors)

    def __str__(self) -> str:
        tally = self.tally
        waits = sorted(tally.waits_ms) or [0.0]
        statuses = ", ".join(f"{name}: {n:,}" for name, n in sorted(self.statuses.items()))
        return "\n".join((
            f"seed {self.seed}",
            f"innocents: {tally.sent:,} requests, {len(self.lost)} lost;"
            f" {len(tally.losses) - len(self.lost)} were in flight on a killed router",
            f"waits: median {median(waits):.0f} ms, p99 {waits[len(waits) * 99 // 100]:.0f} ms,"
            f" worst {waits[-1]:.0f} ms",
            f"writes: {self.acknowledged:,} acknowledged, {len(self.lost_writes)} lost;"
            f" {sum(self.unchanged.values())} had nothing to change"
            f" ({', '.join(f'{name} {n}' for name, n in sorted(self.unchanged.items()))})",
            f"answers: {statuses}",
            f"troubles: {', '.join(f'{name} {n}' for name, n in sorted(self.troubles.items()))}",
            *(f"lost request: {loss}" for loss in self.lost[:10]),
            *(f"lost write: {note} {what}" for note, what in [*self.lost_writes.items()][:10]),
            *(f"error: {error}" for error in self.errors[:10]),
            "holds" if self.held else "BROKEN",
        ))  # fmt: skip


def soak(
    folder: Path, seconds: float, seed: int, *, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """All of it, for so long; `folder` marks the environment of this process already."""
    outcome = Outcome(seed)
    with Plane(folder) as plane, Visitors(plane) as visitors:
        api = Api(plane)
        troubles = Troubles(plane, api, visitors.origins["endless"], seed)
        changes, chance = Changes(api, seed), random.Random(seed)
        _prepare(plane, api, visitors.origins["good"])
        visitors.visit(INNOCENTS)
        changes.start()
        try:
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                time.sleep(chance.uniform(*_PEACE_S))
                troubles.one()
                losses, lost = len(visitors.tally.losses), len(troubles.lost)
                say(f"{time.monotonic() - began:.0f} s: {losses} requests, {lost} writes lost")
        finally:
            changes.end()
        outcome.errors += _converge(plane, api)
        visitors.leave()
        outcome.lost_writes = troubles.lost | api.lost()
        outcome.errors += troubles.errors + api.errors + _end(plane, api)
        outcome.tally, outcome.aways = visitors.tally, plane.aways
        outcome.troubles, outcome.statuses = troubles.done, api.statuses
        outcome.acknowledged, outcome.unchanged = len(api.acknowledged), api.unchanged
        outcome.errors += raised(plane.said.decode(errors="replace"))
    return outcome


def _prepare(plane: Plane, api: Api, good: str) -> None:
    """Deploy the innocent apps, until both routers serve them."""
    templates = {app: template("v0", replicas=2 if app == "demo" else 1) for app in INNOCENTS}
    templates["still"] = served_at(f"endpoint:{good}")
    for app, made in templates.items():
        assert api.change("PUT", f"/v1/apps/{app}", an_app("single", made)) < 300
    for app in INNOCENTS:
        until(lambda app=app: all(plane.answers(n, app) for n in range(2)))  # type: ignore[misc]


def _converge(plane: Plane, api: Api) -> list[str]:
    """In the end what should run runs, once, and everybody knows the same; else what is wrong."""

    def wanted() -> Counter[str]:
        revisions = [r for app in (*BUSY, "demo", "rolling") for r in api.revisions(app)]
        return Counter(
            {r["name"]: r["template"]["scale"]["minReplicas"] for r in revisions if r["active"]}
        )

    def running() -> Counter[str]:
        found: Counter[str] = Counter()
        for pid in marked(plane.folder, also=b"TURNOUT_REPLICA="):
            name = _revision_of(pid)
            if name.partition("--")[0] in (*BUSY, "demo", "rolling"):
                found[name] += 1
        return found

    try:
        until(lambda: api.get("/readyz"), _CONVERGED_S)
        until(lambda: all(r.call("GET", "/readyz")[0] == 200 for r in plane.routers), _CONVERGED_S)
        until(lambda: wanted() == running(), _CONVERGED_S)
        until(lambda: len(set(plane.tables())) == 1, _CONVERGED_S)
    except AssertionError as error:
        tables = " and ".join(plane.tables())
        return [f"{error}: {wanted()} wanted, {running()} running, tables {tables}"]
    return []


def _revision_of(pid: int) -> str:
    """Of a replica; none of one that has just ended."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    values = dict(x.partition(b"=")[::2] for x in environ.split(b"\0"))
    return values.get(b"CONTAINER_APP_REVISION", b"").decode()


def _end(plane: Plane, api: Api) -> list[str]:
    """Delete everything and end every process; what was wrong with that."""
    for app in (*BUSY, *INNOCENTS, "poisoned", "endless", "slow"):
        api.change("DELETE", f"/v1/apps/{app}")
    until(lambda: not marked(plane.folder, also=b"TURNOUT_REPLICA="), _CONVERGED_S)
    codes = [plane.end(signal.SIGTERM), *(r.end(signal.SIGTERM) for r in plane.routers)]
    plane.said += b"".join(router.stderr for router in plane.routers)
    return [f"exit codes at the end: {codes}"] if any(codes) else []


def main(seconds: float, seed: int) -> int:
    """Soak and print; 0 when everything held."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEST_MARK"] = folder
        os.environ["PATH"] += f":{folder}"  # a mark that replicas inherit
        outcome = soak(Path(folder), seconds, seed, say=lambda line: print(line, flush=True))
    print(outcome)
    return 0 if outcome.held else 1
