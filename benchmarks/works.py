"""What is asked of the proxies: one kind of request each, and who is measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.peers import Peer

_VARIED = """
local n = 0
request = function()
  n = n + 1
  wrk.headers["X-Trace"] = n
  return wrk.format(nil, "/varied/" .. n)
end
"""
_UPLOAD = """
wrk.method = "POST"
wrk.body = string.rep("x", 65536)
"""


@dataclass(frozen=True)
class Work:
    """One kind of request."""

    title: str
    who: tuple[Peer, ...]
    path: str = "/"
    script: str = ""  # Lua for wrk

    def script_file(self, folder: Path) -> str:
        """The script where wrk can read it, or nothing."""
        if not self.script:
            return ""
        file = folder / f"{self.title.split()[0].lower()}.lua"
        file.write_text(self.script)
        return str(file)


_SOME = tuple(p for p in peers.PEERS if p.name in ("turnout", "nginx", "HAProxy", "Envoy"))
_LOGGING = Peer("turnout, access log", peers.turnout_with(TURNOUT_ACCESS_LOG="{folder}/access.log"))
_APPS = tuple(
    Peer(f"turnout, {n:,} apps", peers.turnout_with(more_apps=n - 1)) for n in (1_000, 10_000)
)
_TWO = Peer("turnout, two workers", peers.turnout_with(TURNOUT_WORKERS="2"), cores="0,1")

WORKS = {
    "small-get": Work("61-byte GET", peers.PEERS),
    "varied": Work("Varied: no two heads alike, on either side", _SOME, "/varied/", _VARIED),
    "variants": Work("Variants of turnout, 61-byte GET", (peers.PEERS[0], _LOGGING, *_APPS)),
    "workers": Work("Workers: two on two cores, wrk on one of them", (peers.PEERS[0], _TWO)),
    "large": Work("Large: 1 MiB answer of known length", _SOME, "/large"),
    "chunked": Work("Chunked: 1 MiB answer in chunks", _SOME, "/chunked"),
    "upload": Work("Upload: 64 KiB", _SOME, "/", _UPLOAD),
}
