"""What every page owes its readers: sign-in, access, roles, widths, and coming back by itself."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.turnout import Turnout, until
from tests.system.console.conftest import Plane, opened, sign_in

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
PAGES = ("/", "/apps/{app}", "/apps/{app}/revisions/{app}--v1", "/journal", "/explain")


@pytest.fixture(scope="module")
def app(plane: Plane) -> str:
    app = plane.app("v1", "v2")
    plane.weigh(app, {"v1": 75, "v2": 25})
    plane.must("PUT", f"/v1/apps/{app}/labels/blue", {"revision": f"{app}--v2"})
    plane.must("PATCH", f"/v1/apps/{app}", {"template": {"revisionSuffix": "v3"}})
    until(lambda: plane.revisions(app)["v3"].get("runningState") == "RunningAtMaxScale")
    plane.must("POST", f"/v1/apps/{app}/revisions/{app}--v3/deactivate")
    for _ in range(30):
        plane.get(f"{app}.localhost")
    return app


def violations(page: Page) -> list[str]:
    """What axe-core finds; through the debugger, since the policy allows no script of others."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for v in found["violations"]
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_axe_finds_nothing_on_any_page(
    browser: Browser, plane: Plane, app: str, scheme: str, width: int
) -> None:
    with opened(
        browser,
        plane,
        is_probed=True,
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
    ) as page:
        page.get_by_label("Token").wait_for()
        assert violations(page) == []
        sign_in(page, "token-of-ann")
        for path in PAGES:
            page.goto(f"{plane.server}/#{path.format(app=app)}")
            page.get_by_role("heading").first.wait_for()
            expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
            assert violations(page) == [], path
            wide = "document.documentElement.scrollWidth - innerWidth"
            assert page.evaluate(wide) <= 0, f"{path} is wider than the window"
        page.goto(f"{plane.server}/#/apps/{app}")
        for button in (f"Copy {app}--v1", "Move label blue", "Mode: multiple", "Stop"):
            page.get_by_role("button", name=button, exact=True).click()
            page.get_by_role("dialog").wait_for()
            assert violations(page) == [], button
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_wrong_token_is_refused_at_its_field(browser: Browser, plane: Plane) -> None:
    with opened(browser, plane) as page:
        page.get_by_label("Token").fill("guess")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not a token of this server")
        sign_in(page, "token-of-ann")
        page.reload()
        expect(page.get_by_role("heading", name="Apps")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Token")).to_be_visible()


def test_a_link_signs_in_once_and_leaves_no_trace(browser: Browser, plane: Plane) -> None:
    code = plane.must("POST", "/v1/session/codes")["code"]
    for expected in ("heading", "textbox"):
        with opened(browser, plane) as page:
            page.goto("about:blank")
            page.goto(f"{plane.server}/#code={code}")
            if expected == "heading":
                expect(page.get_by_role("heading", name="Apps")).to_be_visible()
                assert code not in page.url
                assert code not in str(page.evaluate("JSON.stringify(localStorage)"))
            else:
                expect(page.get_by_label("Token")).to_be_visible()


def test_a_reader_sees_no_button_that_would_fail(browser: Browser, plane: Plane, app: str) -> None:
    with opened(browser, plane) as page:
        sign_in(page, "token-of-bob")
        page.goto(f"{plane.server}/#/apps/{app}")
        expect(page.get_by_role("table", name="Revisions")).to_be_visible()
        expect(page.get_by_text("read only")).to_be_visible()
        named = [
            b.get_attribute("aria-label") or b.inner_text()
            for b in page.get_by_role("button").all()
        ]
        assert {n for n in named if not n.startswith("Details of")} <= {"Sign out"}
        expect(page.get_by_role("spinbutton")).to_have_count(0)


def test_a_cookie_without_its_proof_opens_nothing(browser: Browser, plane: Plane, app: str) -> None:
    """Another port of this host is sent the cookie, too, and may send it on."""
    with opened(browser, plane) as page:
        sign_in(page, "token-of-ann")
        tried = """async (given) => (await fetch("/v1/apps", {headers: given})).status"""
        proof = page.evaluate("localStorage.getItem('turnout-session')")
        assert page.evaluate(tried, {"X-Turnout-Session": proof}) == 200
        assert page.evaluate(tried, {}) == 401
        assert page.evaluate(tried, {"X-Turnout-Session": "0" * 64}) == 401
        (cookie,) = page.context.cookies(f"{plane.server}/v1/apps")
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/v1")
        assert "token-of-ann" not in str(page.context.storage_state())


def test_a_signed_in_browser_is_no_help_to_another_origin(browser: Browser, plane: Plane) -> None:
    with opened(browser, plane) as page:
        sign_in(page, "token-of-ann")
        port = plane.facts["admin"].rpartition(":")[2]
        other = f"http://127.0.0.1:{plane.port}/"  # same host: the cookie is sent there as well
        page.context.new_page().goto(f"{plane.server}/docs")
        proof = page.evaluate("localStorage.getItem('turnout-session')")
        stranger = page.context.new_page()
        stranger.goto(other)
        assert stranger.evaluate("localStorage.getItem('turnout-session')") is None
        tried = """([url, given]) => fetch(url, {method: "DELETE", credentials: "include",
            headers: given}).then((a) => a.status, () => "failed")"""
        url = f"http://127.0.0.1:{port}/v1/apps/nobody"
        assert stranger.evaluate(tried, [url, {"X-Turnout-Session": proof}]) == "failed"
        assert stranger.evaluate(tried, [url, {}]) == "failed"


def test_all_of_it_is_small_and_kept(browser: Browser, plane: Plane, app: str) -> None:
    with opened(browser, plane) as page:
        sign_in(page, "token-of-ann")
        page.goto(f"{plane.server}/#/apps/{app}")
        expect(page.get_by_role("table", name="Revisions")).to_be_visible()
        sizes = page.evaluate(
            "performance.getEntries().filter((e) => /navigation|link|script|css|img|other/"
            ".test(e.initiatorType ?? e.entryType) && !e.name.includes('/v1/') && e.transferSize)"
            ".map((e) => e.transferSize ?? 0)"
        )
        assert len(sizes) > 15
        assert 20_000 < sum(sizes) <= 150_000
        page.reload()
        page.get_by_role("heading").first.wait_for()
        again = page.evaluate(
            "performance.getEntriesByType('resource').filter((e) => e.name.includes('/console/'))"
            ".reduce((sum, e) => sum + e.transferSize, 0)"
        )
        assert again == 0  # nothing is asked for again


@pytest.fixture
def lonely(state: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turnout]:
    folder = tmp_path_factory.mktemp("lonely")
    settings = {"state": folder / "s", "docker_host": f"unix://{folder}/none"}
    with Turnout("control", admin="127.0.0.1:0", **settings) as control:
        yield control


def test_a_lost_connection_says_so_and_comes_back(browser: Browser, lonely: Turnout) -> None:
    with opened(browser, lonely) as page:
        sign_in(page, lonely.token)
        status = page.get_by_role("status")
        expect(status.filter(has_text="Live")).to_be_visible()
        lonely.settings["admin"] = lonely.facts["admin"]
        lonely.stop()
        expect(status.filter(has_text="Connection lost")).to_be_visible()
        lonely.process = lonely._spawn()
        lonely.stderr = b""
        lonely.wait_ready()
        lonely.must(
            "PUT",
            "/v1/apps/late",
            {"template": {"containers": [{"image": "endpoint:127.0.0.1:1"}]}},
        )
        expect(status.filter(has_text="Live")).to_be_visible()
        expect(page.get_by_role("link", name="late", exact=True)).to_be_visible()


def test_the_keyboard_is_enough(browser: Browser, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    with opened(browser, plane) as page:
        sign_in(page, "token-of-ann")
        page.goto(f"{plane.server}/#/apps/{app}")
        field = page.get_by_role("spinbutton", name=f"Weight of {app}--v2")
        for _ in range(60):
            page.keyboard.press("Tab")
            if field.evaluate("(e) => e === document.activeElement"):
                break
        for _ in range(3):
            page.keyboard.press("ArrowUp")
        expect(page.get_by_role("spinbutton", name=f"Weight of {app}--v1")).to_have_value("97")
        for _ in range(60):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.textContent") == "Apply":
                break
        page.keyboard.press("Enter")
        until(lambda: plane.weights(app) == {"v1": 97, "v2": 3})


@pytest.fixture
def replica() -> Iterator[str]:
    """An address where somebody answers every call and says nothing."""

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            pass

    socketserver.ThreadingTCPServer.request_queue_size = 1024
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_many_apps_are_searched_sorted_and_paged_by_the_server(
    browser: Browser, lonely: Turnout, replica: str
) -> None:
    body = {"template": {"containers": [{"image": f"endpoint:{replica}"}]}}
    for first in range(0, 300, 50):
        changes = [
            {"app": f"app{n:03}", "method": "PUT", "body": body} for n in range(first, first + 50)
        ]
        lonely.must("POST", "/v1/transactions", {"changes": changes})
    with opened(browser, lonely) as page:
        sign_in(page, lonely.token)
        rows = page.get_by_role("table", name="Apps").locator("tbody tr")
        expect(rows).to_have_count(50)
        expect(page.get_by_text("1 to 50 of 300 apps")).to_be_visible()
        page.get_by_role("button", name="Next").click()
        expect(rows.first).to_contain_text("app050")
        page.get_by_label("Sort by").select_option("changed")
        expect(rows.first).to_contain_text("app2")
        page.get_by_role("searchbox", name="Search apps").fill("299")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("app299")
        page.get_by_role("searchbox", name="Search apps").fill("no such")
        expect(page.get_by_text(re.compile("No app is called"))).to_be_visible()
