"""Every action of the console, done by role and name as a person would, and what came of it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.support.turnout import until
from tests.system.console.conftest import Asked, Plane

expect.set_options(timeout=20_000)


def go(page: Page, plane: Plane, app: str) -> None:
    page.goto(f"{plane.server}/#/apps/{app}")
    expect(page.get_by_role("heading", name=app, exact=True)).to_be_visible()
    expect(page.get_by_role("table", name="Revisions")).to_be_visible()


def row(page: Page, revision: str) -> Locator:
    header = page.get_by_role("rowheader", name=revision, exact=True)
    return page.get_by_role("table", name="Revisions").get_by_role("row").filter(has=header)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def weight(page: Page, revision: str) -> Locator:
    return page.get_by_role("spinbutton", name=f"Weight of {revision}", exact=True)


def test_the_overview_finds_an_app_and_leads_to_it(page: Page, plane: Plane) -> None:
    app = plane.app("v1")
    expect(page).to_have_title("turnout")
    page.get_by_role("searchbox", name="Search apps").fill(app)
    rows = page.get_by_role("table", name="Apps").get_by_role("rowheader")
    expect(rows).to_have_count(1)
    with Asked(plane, f"{app}.localhost"):
        rate = page.get_by_role("table", name="Apps").get_by_role("cell").nth(1)
        expect(rate).to_have_text(re.compile(r"[1-9]"))
    rows.get_by_role("link", name=app, exact=True).click()
    expect(page.get_by_role("heading", name=app, exact=True)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()


def test_weights_are_previewed_then_applied_and_traffic_follows(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    weight(page, f"{app}--v2").fill("30")
    expect(weight(page, f"{app}--v1")).to_have_value("70")
    press(page, "Preview")
    expect(page.get_by_text("30 of 100 users")).to_be_visible()
    assert plane.weights(app) == {"v1": 100}  # nothing happened yet
    press(page, "Apply")
    until(lambda: plane.weights(app) == {"v1": 70, "v2": 30})
    weight(page, f"{app}--v2").fill("100")
    press(page, "Apply")
    until(lambda: plane.weights(app) == {"v2": 100})
    until(lambda: plane.answers(app) == {f"{app}--v2"})
    expect(page.get_by_role("img", name="Configured: v2 100 %")).to_be_visible()


def test_weights_always_sum_to_100_whatever_is_typed(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2", "v3")
    go(page, plane, app)
    fields = [weight(page, f"{app}--{suffix}") for suffix in ("v1", "v2", "v3")]
    for field, value in ((0, "17"), (1, "50"), (2, "33"), (1, "999"), (0, "-4"), (2, "1")):
        fields[field].fill(value)
        assert sum(int(f.input_value()) for f in fields) == 100
    fields[0].fill("60")
    fields[1].fill("25")
    assert [f.input_value() for f in fields] == ["60", "25", "15"]
    press(page, "Reset")
    assert [f.input_value() for f in fields] == ["100", "0", "0"]


def test_rates_errors_and_the_observed_share_are_live(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    plane.weigh(app, {"v2": 100})
    with Asked(plane, f"{app}.localhost"):
        cells = row(page, f"{app}--v2").get_by_role("cell")
        expect(cells.nth(3)).to_have_text("100 %")
        expect(cells.nth(4)).to_have_text(re.compile(r"[1-9]"))
    plane_url = f"{app}--v2.localhost"
    for _ in range(40):
        plane.get(plane_url, "/?status=500")
    expect(row(page, f"{app}--v2").get_by_role("cell").nth(5)).to_have_text(re.compile(r"[1-9]"))


def test_a_revision_is_deactivated_and_activated(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    press(page, f"Deactivate {app}--v2")
    until(lambda: not plane.revisions(app)["v2"]["active"])
    expect(row(page, f"{app}--v2")).to_contain_text("Inactive")
    press(page, f"Activate {app}--v2")
    until(lambda: plane.revisions(app)["v2"].get("runningState") == "RunningAtMaxScale")
    expect(row(page, f"{app}--v2")).to_contain_text("Running")


def test_a_refusal_stands_where_it_was_asked_for(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    press(page, f"Deactivate {app}--v1")
    expect(row(page, f"{app}--v1").get_by_role("alert")).to_contain_text("traffic")
    assert plane.revisions(app)["v1"]["active"]


def test_a_restart_replaces_the_replicas(page: Page, plane: Plane) -> None:
    app = plane.app("v1")
    path = f"/v1/apps/{app}/revisions/{app}--v1/replicas"

    def ready() -> set[str]:
        found = plane.must("GET", path)["value"]
        return {r["name"] for r in found if r["state"] == "Ready"}

    before = ready()
    go(page, plane, app)
    press(page, f"Restart {app}--v1")
    until(lambda: ready() and not ready() & before)


def test_a_copy_is_made_with_what_was_changed(page: Page, plane: Plane) -> None:
    app = plane.app("v1")
    go(page, plane, app)
    press(page, f"Copy {app}--v1")
    dialog = page.get_by_role("dialog", name=f"Copy {app}--v1")
    dialog.get_by_label("Suffix").fill("v1")
    dialog.get_by_label("Environment").fill("COLOR=teal")
    expect(dialog.get_by_text("COLOR=teal").last).to_be_visible()
    dialog.get_by_role("button", name="Create revision").click()
    expect(dialog.get_by_role("alert")).to_contain_text("v1")  # is there already
    dialog.get_by_label("Suffix").fill("v2")
    dialog.get_by_role("button", name="Create revision").click()
    expect(dialog).to_be_hidden()
    made = until(lambda: plane.revisions(app).get("v2"))
    assert {"name": "COLOR", "value": "teal"} in made["template"]["containers"][0]["env"]
    expect(row(page, f"{app}--v2")).to_contain_text("Running")


def test_a_wrong_field_of_a_copy_says_so_itself(page: Page, plane: Plane) -> None:
    app = plane.app("v1")
    go(page, plane, app)
    press(page, f"Copy {app}--v1")
    field = page.get_by_label("Suffix")
    field.fill("Not a suffix")
    press(page, "Create revision")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert set(plane.revisions(app)) == {"v1"}


def test_a_label_is_added_moved_swapped_and_removed(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)

    def named() -> dict[str, list[str]]:
        return {s: r["labels"] for s, r in plane.revisions(app).items()}

    for label, revision in (("blue", "v1"), ("green", "v2")):
        press(page, f"Add label to {app}--{revision}")
        page.get_by_label("Label", exact=True).fill("Bad label!" if label == "blue" else label)
        press(page, "Add")
        if label == "blue":
            expect(page.get_by_role("alert")).to_contain_text("Bad label!")
            page.get_by_label("Label", exact=True).fill(label)
            press(page, "Add")
        expect(row(page, f"{app}--{revision}")).to_contain_text(label)
    port = plane.port
    link = page.get_by_role("link", name=f"http://{app}---blue.localhost:{port}/")
    expect(link).to_have_attribute("href", f"http://{app}---blue.localhost:{port}/")
    assert plane.answers(f"{app}---blue") == {f"{app}--v1"}

    press(page, "Move label blue")
    page.get_by_label("Revision", exact=True).select_option(f"{app}--v2")
    press(page, "Swap")
    until(lambda: named() == {"v1": ["green"], "v2": ["blue"]})
    expect(row(page, f"{app}--v2")).to_contain_text("blue")
    press(page, "Move label blue")
    page.get_by_label("Its label").select_option(label="green is dropped")
    expect(page.get_by_role("dialog")).to_contain_text(f"{app}---green.localhost")  # vanishes
    press(page, "Move")
    until(lambda: named() == {"v1": ["blue"], "v2": []})
    until(lambda: plane.answers(f"{app}---blue") == {f"{app}--v1"})
    press(page, "Move label blue")
    press(page, "Remove label")
    until(lambda: named() == {"v1": [], "v2": []})


def test_the_mode_is_switched_after_what_it_does_was_told(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    press(page, "Mode: multiple")
    page.get_by_role("radio", name=re.compile("single")).check()
    expect(page.get_by_role("dialog")).to_contain_text("Deactivated")
    press(page, "Switch")
    until(
        lambda: (
            plane.must("GET", f"/v1/apps/{app}")["configuration"]["activeRevisionsMode"]
            in ("Single", "single")
        )
    )
    expect(page.get_by_role("button", name="Mode: single")).to_be_visible()
    expect(weight(page, f"{app}--v2")).to_be_hidden()


def test_a_shift_is_rolled_back(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    weight(page, f"{app}--v2").fill("100")
    press(page, "Apply")
    until(lambda: plane.weights(app) == {"v2": 100})
    press(page, "Roll back")
    until(lambda: plane.weights(app) == {"v1": 100})
    until(lambda: plane.answers(app) == {f"{app}--v1"})
    expect(page.get_by_text(re.compile("is rolled back to record"))).to_be_visible()


def test_the_journal_tells_who_and_goes_back(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    plane.weigh(app, {"v2": 100})
    plane.weigh(app, {"v1": 50, "v2": 50})
    page.goto(f"{plane.server}/#/journal?app={app}")
    changes = page.get_by_role("list", name="Changes").locator("> li")
    expect(changes.first).to_contain_text("ann")
    records = plane.must("GET", f"/v1/journal?app={app}")["value"]
    page.get_by_role("button", name=f"Go back to {records[1]['number']}", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("50 of 100 users")
    press(page, "Go back")
    until(lambda: plane.weights(app) == {"v2": 100})


def test_an_app_is_stopped_when_one_is_sure_and_started(page: Page, plane: Plane) -> None:
    app = plane.app("v1")
    go(page, plane, app)
    press(page, "Stop")
    press(page, "Stop it")
    until(lambda: plane.get(f"{app}.localhost")[0] == 503)
    press(page, "Start")
    until(lambda: plane.get(f"{app}.localhost")[0] == 200)


def test_the_details_show_urls_log_and_template(page: Page, plane: Plane) -> None:
    app = plane.app("v1")
    plane.get(f"{app}.localhost")
    go(page, plane, app)
    press(page, f"Details of {app}--v1")
    dialog = page.get_by_role("dialog", name=f"{app}--v1")
    url = f"http://{app}--v1.localhost:{plane.port}/"
    expect(dialog.get_by_role("link", name=url)).to_be_visible()
    expect(dialog).to_contain_text("process:demo")
    dialog.get_by_role("button", name=re.compile("^Log of")).click()
    expect(dialog.get_by_role("log")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile(rf"#/apps/{app}$"))


def test_explain_says_who_would_answer(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    plane.weigh(app, {"v1": 75, "v2": 25})
    page.get_by_role("link", name="Explain").click()
    page.get_by_label("URL of a request").fill(f"http://{app}.localhost/")
    press(page, "Explain")
    chances = page.get_by_role("table", name="Chances")
    expect(chances.get_by_role("row").filter(has_text=f"{app}--v1")).to_contain_text("75 %")
    page.get_by_label("URL of a request").fill("http://nobody.localhost/")
    press(page, "Explain")
    expect(page.get_by_text("HostNotFound")).to_be_visible()


def test_what_somebody_else_does_shows_by_itself(page: Page, plane: Plane) -> None:
    app = plane.app("v1", "v2")
    go(page, plane, app)
    plane.weigh(app, {"v1": 40, "v2": 60})
    expect(weight(page, f"{app}--v2")).to_have_value("60")
    plane.must("DELETE", f"/v1/apps/{app}")
    expect(page.get_by_text("There is no app")).to_be_visible()
