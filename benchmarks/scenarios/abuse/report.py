"""Plays the scenarios and prints a row for each of them and proxy, as soon as it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.scenarios.abuse import SCENARIOS
from benchmarks.scenarios.abuse.site import Row, Scenario, play

_HEAD = ("proxy", "sent", "lost", "foreign", "wait ms", "peak MiB", "grown", "s", "verdict")
_WIDTHS = (8, 6, 5, 9, 8, 9, 7, 5, 9)


def run(names: Sequence[str], proxies: Sequence[str]) -> int:
    """Play those whose name contains one of `names`; 0 only when turnout held every bound.

    Without turnout among the proxies, the others are judged.
    """
    chosen = [s for s in SCENARIOS if not names or any(n in s.name for n in names)]
    if not chosen:
        print(f"no scenario has {' or '.join(names)} in its name; --list shows all")
        return 2
    rows: list[Row] = []
    for number, scenario in enumerate(chosen, 1):
        print(f"\n{number}. {scenario.claim}", flush=True)
        if number == 1:
            print("   " + _line(_HEAD))
        for proxy in proxies:
            if proxy in scenario.proxies:
                rows.append(asyncio.run(play(scenario, proxy)))
                _print(rows[-1])
            else:
                print(f"   {proxy:8} has nothing like it")
    return _sum_up(rows, proxies)


def show(scenarios: Sequence[Scenario] = SCENARIOS) -> None:
    """The name and the claim of each."""
    for scenario in scenarios:
        bounds = scenario.bounds
        print(f"{scenario.name}  [{bounds.wait_ms:g} ms, {bounds.grows_mib:g} MiB]")


def _print(row: Row) -> None:
    tally = row.tally
    figures = (
        row.proxy, f"{tally.sent}", f"{len(tally.losses)}", f"{tally.foreign_bytes}",
        f"{tally.worst_ms:.0f}", f"{row.peak_mib:.0f}", f"{row.grown_mib:+.0f}",
        f"{row.seconds:.0f}", "holds" if row.holds else "BROKEN",
    )  # fmt: skip
    print(f"   {_line(figures)}  {'; '.join(row.notes)}".rstrip())
    for what in row.broken:
        print(f"            - {what}")
    print(end="", flush=True)


def _line(cells: Sequence[str]) -> str:
    first = f"{cells[0]:{_WIDTHS[0]}}"
    return first + "".join(f"{c:>{w}}" for c, w in zip(cells[1:], _WIDTHS[1:], strict=True))


def _sum_up(rows: Sequence[Row], proxies: Sequence[str]) -> int:
    print()
    for proxy in proxies:
        ours = [row for row in rows if row.proxy == proxy]
        held = sum(row.holds for row in ours)
        print(f"{proxy}: {held} of {len(ours)} hold")
    judged = [r for r in rows if r.proxy == "turnout"] or rows
    return 0 if all(row.holds for row in judged) else 1
