"""Interleaved rounds over all proxies; prints medians and ratios to turnout."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import measure, peers
from benchmarks.measure import Sample
from benchmarks.works import WORKS, Work

RESULTS = Path(__file__).parent / "results"
_FIRST_PORT = 9201


def main() -> int:
    """Run, print, and keep the figures as JSON."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--seconds", type=int, default=3, help="of load per proxy and round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--beside", type=peers.beside, action="append", default=[],
                        metavar="NAME=CHECKOUT", help="turnout of another checkout")  # fmt: skip
    parser.add_argument("--work", choices=[*WORKS, "all"], default="small-get")
    options = parser.parse_args()
    console = Console(width=110)
    if not _has_tools(console):
        return 1
    for name in WORKS if options.work == "all" else [options.work]:
        with ExitStack() as stack:
            scratch = tempfile.TemporaryDirectory(prefix="turnout-bench-")
            folder = Path(stack.enter_context(scratch))
            samples, missing = _run(WORKS[name], options, folder, stack, console)
        _print(WORKS[name], samples, options, console)
        for peer in missing:
            console.print(f"missing: {peer} is not installed and could not be; not measured")
        _save(name, samples, options)
    return 0


def _has_tools(console: Console) -> bool:
    for program in ("wrk", "nginx", "taskset"):
        if shutil.which(program) is None and os.geteuid() == 0:
            peers._quietly(["apt-get", "install", "-y", "-qq", program])  # noqa: SLF001
        if shutil.which(program) is None:
            console.print(f"make bench needs {program}; install it and try again")
            return False
    return True


def _run(
    work: Work, options: argparse.Namespace, folder: Path, stack: ExitStack, console: Console
) -> tuple[dict[str, list[Sample]], list[str]]:
    measure.spawn(list(peers.origin(folder)), measure.LOAD_CORE, stack)
    running: dict[str, tuple[int, int]] = {}
    missing = []
    for port, peer in enumerate((*work.who, *options.beside), _FIRST_PORT):
        if peer.find() is None:
            missing.append(peer.name)
            continue
        process = measure.start(peer, folder / peer.name.replace(" ", "-"), port, stack)
        running[peer.name] = (process.pid, port)
    script = work.script_file(folder)
    samples: dict[str, list[Sample]] = {name: [] for name in ("direct", *running)}
    for number in range(options.rounds + 1):  # the first one only warms up
        for name, (pid, port) in running.items():
            one = measure.sample(pid, port, options.seconds, options.connections, work.path, script)
            if number:
                samples[name].append(one)
        direct = measure.load(
            peers.ORIGIN_PORTS[0], options.seconds, options.connections, work.path, script
        )
        if number:
            samples["direct"].append(Sample(direct[1], 0.0, direct[2], direct[3], 0.0))
        console.print(f"round {number} of {options.rounds} done", style="dim")
    return samples, missing


def _median(samples: list[Sample], name: str) -> float:
    return float(statistics.median(getattr(s, name) for s in samples))


def _ratio(samples: dict[str, list[Sample]], peer: str, name: str) -> float:
    """Median over the rounds of turnout against a peer in the same round."""
    pairs = zip(samples["turnout"], samples[peer], strict=True)
    return float(statistics.median(getattr(a, name) / getattr(b, name) for a, b in pairs))


def _print(
    work: Work, samples: dict[str, list[Sample]], options: argparse.Namespace, console: Console
) -> None:
    table = Table(
        title=f"{work.title}, {options.connections} keep-alive connections, "
        f"{options.rounds} rounds of {options.seconds} s, one core for the proxy; medians",
        box=box.SIMPLE_HEAD,
    )
    titles = ("", "CPU us/request", "turnout/it", "requests/s", "turnout/it", "p50 ms", "p99 ms",
              "memory MiB")  # fmt: skip
    for title in titles:
        table.add_column(title, justify="right" if title else "left")
    for name, rounds in samples.items():
        is_proxy = name != "direct"
        table.add_row(
            name,
            f"{_median(rounds, 'cpu_us'):.1f}" if is_proxy else "",
            f"{_ratio(samples, name, 'cpu_us'):.2f}" if is_proxy else "",
            f"{_median(rounds, 'rps'):.0f}",
            f"{_ratio(samples, name, 'rps'):.2f}",
            f"{_median(rounds, 'p50_ms'):.2f}",
            f"{_median(rounds, 'p99_ms'):.2f}",
            f"{_median(rounds, 'rss_mib'):.0f}" if is_proxy else "",
        )
    console.print(table)


def _save(name: str, samples: dict[str, list[Sample]], options: argparse.Namespace) -> None:
    RESULTS.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    result = {
        "at": now,
        "commit": commit,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": sys.version.split()[0],
        "options": vars(options) | {"beside": [peer.name for peer in options.beside]},
        "samples": {name: [dataclasses.asdict(s) for s in all_] for name, all_ in samples.items()},
    }
    (RESULTS / f"{name}-{now.replace(':', '')}.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    raise SystemExit(main())
