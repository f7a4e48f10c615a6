"""Documents say what the code does: those that are made from it, and the contract's numbers."""

from __future__ import annotations

import re
from pathlib import Path

from config.settings_page import page
from control.model.states import MOVES
from control.probes import defaults
from control.rules.deploy import MAX_REVISION_NAME
from router.contract import outcomes
from router.contract.hosts import APP_NAME, LABEL, MAX_DNS_LABEL


def test_the_settings_page_is_up_to_date() -> None:
    assert Path("config/README.md").read_text() == page(), "run: make docs"


def test_the_table_of_moves_is_up_to_date() -> None:
    text = Path("control/README.md").read_text()
    shown = text.split("<!-- moves")[1].split("<!-- /moves")[0]
    rows = [
        f"| {s.value} | {', '.join(sorted(t.value for t in to))}".rstrip()
        for s, to in MOVES.items()
    ]

    assert [line.rstrip("| ") for line in shown.splitlines()[3:] if line] == [
        row.rstrip("| ") for row in rows
    ]


def section(number: str) -> str:
    """A section of the contract, up to the next heading."""
    text = Path("docs/contract.md").read_text()
    found = re.search(rf"^#+ {re.escape(number)}\.? .*?(?=^#)", text, re.M | re.S)
    assert found is not None
    return found[0]


def test_the_contract_has_every_answer_of_the_edge() -> None:
    made = {o.code: o.status for o in vars(outcomes).values() if isinstance(o, outcomes.Outcome)}
    made["BadRequest"] = outcomes.bad_request("").status
    shown: dict[str, str] = {}
    for _, status, codes in re.findall(r"^\| (.*) \| (.*) \| (`.*) \|$", section("9.4"), re.M):
        shown |= dict.fromkeys(re.findall(r"`(\w+)`", codes), status)

    assert shown.keys() == made.keys()
    assert all(str(made[c]) == s for c, s in shown.items() if s.isdigit())


def test_the_contract_has_the_probes_that_an_ingress_brings() -> None:
    rows = re.findall(r"^\| (Startup|Readiness|Liveness) \| (.*) \|$", section("7"), re.M)
    given = {
        probe.type: f"{probe.initial_delay_seconds} | {probe.period_seconds} |"
        f" {probe.timeout_seconds} | {probe.success_threshold} | {probe.failure_threshold}"
        for probe in defaults._DEFAULTS
    }

    assert dict(rows) == given


def test_the_contract_has_the_lengths_of_names() -> None:
    text = section("2")
    assert f"`APP--SUFFIX`, at most {MAX_REVISION_NAME} characters" in text
    assert f"at most {MAX_DNS_LABEL} characters, or DNS" in text
    assert APP_NAME.fullmatch("a" * 32)
    assert not APP_NAME.fullmatch("a" * 33)
    assert LABEL.fullmatch("a" * 64)
    assert not LABEL.fullmatch("a" * 65)
