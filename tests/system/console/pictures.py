"""`python -m tests.system.console.pictures`: the pictures of the README, of real apps under load.

Four pages in docs/pictures/. Run it when the console looks different, and look at them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.support.turnout import Turnout, until
from tests.system.console.conftest import CHROMIUM, FLAGS, Plane, sign_in, template

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
SIZE = {"width": 1280, "height": 800}
MOST_BYTES = 150_000
BROKEN = ["sh", "-c", "echo no such bucket; exit 3"]
SEEN_S = 90  # of traffic before the first picture, so that the charts have something to show


def deploy(up: Turnout, app: str, mode: str, suffix: str, replicas: int = 1, **env: str) -> None:
    spec = template(suffix)
    spec["containers"][0]["env"] = [{"name": k, "value": v} for k, v in env.items()]
    spec["scale"] = {"minReplicas": replicas, "maxReplicas": 4}
    configuration = {"activeRevisionsMode": mode, "ingress": {"targetPort": 80}}
    is_there = up.call("GET", f"/v1/apps/{app}")[0] == 200
    body: dict[str, Any] = {"template": spec}
    body |= {} if is_there else {"configuration": configuration}
    up.must("PATCH" if is_there else "PUT", f"/v1/apps/{app}", body)


def weigh(up: Turnout, app: str, **weights: int) -> None:
    rules = [{"revisionName": f"{app}--{s}", "weight": w} for s, w in weights.items()]
    up.must("PUT", f"/v1/apps/{app}/traffic", {"traffic": rules})


def build(up: Turnout) -> None:
    """A shop's worth of apps, most of them well."""
    deploy(up, "checkout", "multiple", "v41", 2)
    weigh(up, "checkout", v41=100)
    deploy(up, "checkout", "multiple", "v42", 2)
    deploy(up, "checkout", "multiple", "v43", FAIL_PERCENT="12")
    weigh(up, "checkout", v41=70, v42=20, v43=10)
    up.must("PUT", "/v1/apps/checkout/labels/blue", {"revision": "checkout--v41"})
    up.must("PUT", "/v1/apps/checkout/labels/next", {"revision": "checkout--v43"})
    for app, suffix in (("search", "r7"), ("mailer", "nightly"), ("images", "v3")):
        deploy(up, app, "single", suffix)
    deploy(up, "catalog", "multiple", "green")
    weigh(up, "catalog", green=100)
    deploy(up, "catalog", "multiple", "blue")
    weigh(up, "catalog", green=50, blue=50)
    until(lambda: all(a["runningStatus"] == "Running" for a in apps(up)), 120)
    up.must("POST", "/v1/apps/mailer/stop")
    up.must("PUT", "/v1/apps/images", {
        "configuration": {"activeRevisionsMode": "single", "ingress": {"targetPort": 80}},
        "template": template("v4") | {"containers": [
            {"name": "main", "image": "process:", "command": BROKEN}
        ]},
    })  # fmt: skip


def apps(up: Turnout) -> list[dict[str, Any]]:
    return list(up.must("GET", "/v1/apps")["value"])


@contextmanager
def visited(up: Turnout) -> Iterator[None]:
    """Visitors of every app, some more than others."""
    stop, random = threading.Event(), Random(7)
    hosts = ["checkout"] * 6 + ["catalog"] * 3 + ["search"] * 2 + ["images"]

    def visit() -> None:
        while not stop.wait(random.uniform(0.01, 0.05)):
            path = f"/?delay={random.randint(2, 30)}ms"
            up.get(f"{random.choice(hosts)}.localhost", path)

    threads = [threading.Thread(target=visit) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def take(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.name}: {size // 1000} KB")
    assert size <= MOST_BYTES


def pictures(page: Page, up: Turnout) -> None:
    page.goto(f"{up.server}/#/apps/checkout")
    page.get_by_role("table", name="Revisions").wait_for()
    page.wait_for_timeout(SEEN_S * 1000)
    page.set_viewport_size(SIZE | {"height": 1000})
    page.get_by_role("spinbutton", name="Weight of checkout--v42").fill("60")
    page.get_by_text("of 100 users").wait_for()
    page.locator("h1").click()
    take(page, "app")
    page.set_viewport_size(SIZE)
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Details of checkout--v42").click()
    page.get_by_role("img", name="requests in the last hour").wait_for()
    take(page, "revision")
    page.keyboard.press("Escape")
    page.goto(f"{up.server}/#/")
    page.get_by_text("of requests fail").wait_for()
    take(page, "apps")
    labelled = [{"revisionName": "checkout--v41", "weight": 100, "label": "blue"}]
    up.must("PUT", "/v1/apps/checkout/traffic", {"traffic": labelled})
    page.goto(f"{up.server}/#/journal")
    page.get_by_role("list", name="Changes").wait_for()
    take(page, "journal")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        tokens = Path(folder) / "tokens"
        tokens.write_text("ann write token-of-ann\n")
        settings = {"state": Path(folder) / "s", "docker_host": f"unix://{folder}/none"}
        ports = {"listen": "127.0.0.1:8080", "admin": "127.0.0.1:0"}
        with Plane(
            "up", workers=1, restart_backoff_s=0.5, token_file=tokens, **ports, **settings
        ) as up:
            build(up)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            page.goto(up.server)
            sign_in(page, up.token)
            with visited(up):
                pictures(page, up)
            browser.close()


if __name__ == "__main__":
    main()
