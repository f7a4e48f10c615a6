"""`python -m control.console.vendor`: fetch the libraries of the console from npm, anew.

Each is one file as its authors publish it. Two things are changed, so that a browser loads them
without a bundler or an import map: bare names of imports become files beside each other, and uPlot,
which is published small only as a script, exports what it defines. VENDOR.md says what is here.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from hashlib import sha256, sha512
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDER = Path(__file__).parent / "static" / "vendor"
_IMPORTS = {'from"preact"': 'from"./preact.js"'}


@dataclass(frozen=True, slots=True)
class Library:
    """A file of a package, and what it is called here."""

    package: str
    version: str
    licence: str
    file: str
    name: str
    appended: str = ""


LIBRARIES = (
    Library("preact", "11.2.0", "MIT", "dist/preact.mjs", "preact.js"),
    Library("preact", "11.2.0", "MIT", "hooks/dist/hooks.mjs", "hooks.js"),
    Library("htm", "3.1.1", "Apache-2.0", "dist/htm.mjs", "htm.js"),
    Library(
        "uplot", "1.6.32", "MIT", "dist/uPlot.iife.min.js", "uplot.js", "\nexport default uPlot;\n"
    ),
    Library("uplot", "1.6.32", "MIT", "dist/uPlot.min.css", "uplot.css"),
)


def fetch(package: str, version: str) -> dict[str, bytes]:
    """The files of a package; npm has checked the tarball against the registry's digest."""
    with TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--json", "--silent", f"{package}@{version}"]
        said = subprocess.run(command, cwd=scratch, check=True, capture_output=True).stdout
        (packed,) = json.loads(said)
        raw = (Path(scratch) / packed["filename"]).read_bytes()
    kind, _, digest = packed["integrity"].partition("-")
    if kind != "sha512" or base64.b64decode(digest) != sha512(raw).digest():
        raise SystemExit(f"{package}@{version} is not what the registry says it is")
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        files = {m.name: archive.extractfile(m) for m in archive.getmembers() if m.isfile()}
        return {n.partition("/")[2]: f.read() for n, f in files.items() if f is not None}


def adapted(library: Library, body: bytes) -> bytes:
    """The file as it is served."""
    text = body.decode()
    for bare, beside in _IMPORTS.items():
        text = text.replace(bare, beside)
    lines = (line for line in text.splitlines() if not line.startswith("//# sourceMappingURL"))
    return ("\n".join(lines) + "\n" + library.appended).encode()


def main() -> None:
    """Write the files, their licences, and VENDOR.md."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows: list[str] = []
    packages: dict[tuple[str, str], dict[str, bytes]] = {}
    for library in LIBRARIES:
        key = (library.package, library.version)
        if key not in packages:
            packages[key] = fetch(*key)
        files = packages[key]
        body = adapted(library, files[library.file])
        (FOLDER / library.name).write_bytes(body)
        (FOLDER / f"LICENSE.{library.package}").write_bytes(files["LICENSE"])
        digest = sha256(body).hexdigest()
        package = f"{library.package} {library.version}"
        rows.append(
            f"| `{library.name}` | {package} | `{library.file}` | {library.licence} | `{digest}` |"
        )
    head = "| file | package | of it | licence | SHA-256 |\n|---|---|---|---|---|\n"
    intro = "# Vendored\n\nMade by `python -m control.console.vendor` from npm.\n\n"
    (FOLDER / "VENDOR.md").write_text(intro + head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
