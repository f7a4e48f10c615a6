"""Installs what some tests need beside Python, when the machine allows it; names what it cannot.

Run by `make test`. A test whose program is missing is reported as skipped, with its name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# program: (Debian package, what is tested with it)
PROGRAMS = {
    "promtool": ("prometheus", "that the metrics are valid"),
    "curl": ("curl", "the tour of the README"),
    "dockerd": ("docker.io", "containers"),
    "ip": ("iproute2", "engines that are killed"),
    "docker-compose": ("docker-compose", "the compose files"),
    "busybox": ("busybox-static", "containers"),
    "docker-registry": ("docker-registry", "images from a registry"),
    "debootstrap": ("debootstrap", "turnout as a container"),
    "chromium": ("chromium", "pages of other origins in a browser"),
    "faketime": ("faketime", "clocks that jump"),
    "strace": ("strace", "kills at every write"),
}


def main() -> None:
    """Install what is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [PROGRAMS[name][0] for name in missing]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends"]):
            arguments = packages if command[0] == "install" else []
            subprocess.run(
                ["apt-get", *command, *arguments],
                env=environment,
                stdout=subprocess.DEVNULL,
                check=False,
            )
    for name in missing:
        if shutil.which(name) is None:
            package, purpose = PROGRAMS[name]
            print(f"not tested: {purpose} ({name}, Debian package {package})", file=sys.stderr)


if __name__ == "__main__":
    main()
