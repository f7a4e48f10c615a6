"""Installs what some tests need beside Python, after asking; names what it does not install.

Run by `make test`. A test whose program is missing is reported as skipped, with its name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# program: (Debian package, what is tested with it)
PROGRAMS = {
    "promtool": ("prometheus", "metrics, rules and what the terminal shows of them"),
    "prometheus": ("prometheus", "an alert that fires and ends"),
    "curl": ("curl", "the tour of the README"),
    "dockerd": ("docker.io", "containers"),
    "ip": ("iproute2", "containers"),
    "docker-compose": ("docker-compose", "the compose files"),
    "busybox": ("busybox-static", "containers"),
    "docker-registry": ("docker-registry", "images from a registry"),
    "debootstrap": ("debootstrap", "turnout as a container"),
    "chromium": ("chromium", "the console, and pages of other origins"),
    "faketime": ("faketime", "clocks that jump"),
    "strace": ("strace", "kills at every write"),
    "h2load": ("nghttp2-client", "the recipe for h2load"),
    "gcc": ("gcc", "the compiled build"),
    "python3-config": ("python3-dev", "the compiled build"),
    "hey": ("hey", "the recipe for hey, and a canary that goes bad"),
    "wrk": ("wrk", "the recipe for wrk"),
}


def is_agreed(packages: list[str]) -> bool:
    """Whether to install Debian packages: CI says so, or somebody at the terminal."""
    listed = " ".join(packages)
    if os.geteuid() or shutil.which("apt-get") is None:
        print(f"these tests need more; on Debian: sudo apt-get install {listed}", file=sys.stderr)
        return False
    if os.environ.get("CI") == "true" or not sys.stdin.isatty():
        print(f"installing with apt-get: {listed}", file=sys.stderr)
        return True
    question = f"Some tests need {listed}.\nInstall that with apt-get now? [y/N] "
    print(question, end="", flush=True, file=sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def install(packages: list[str]) -> None:
    """Install Debian packages, as far as that works; what they say is shown when it does not."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    flags = ["-y", "-qq", "--no-install-recommends"]
    for command in (["update", "-qq"], ["install", *flags, *packages]):
        subprocess.run(
            ["apt-get", *command], env=environment, stdout=subprocess.DEVNULL, check=False
        )


def missing() -> list[str]:
    """Programs that are not here."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def main() -> None:
    """Install what is missing, or name it."""
    packages = [PROGRAMS[name][0] for name in missing()]
    if packages and is_agreed(packages):
        install(packages)
    for name in missing():
        package, purpose = PROGRAMS[name]
        print(f"not tested: {purpose} ({name}, Debian package {package})", file=sys.stderr)


if __name__ == "__main__":
    main()
