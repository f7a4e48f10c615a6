"""The how-tos, as they are written: settings are loaded, commands are typed, fronts are started."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from router.contract.settings import RouterSettings
from router.process.config import load
from router.sources.docker.labels import Container, Replica, read
from tests.support.turnout import Turnout, environment, run, template, until
from tests.system.test_readme import a_clone, commands_in, walk

HERE = Path(__file__).parents[2] / "docs" / "how-to"
SECURITY = HERE.parents[1] / "SECURITY.md"
PAGES = sorted(path.name for path in HERE.glob("*.md") if path.name != "README.md")
HOST = "shop.apps.example.com"
FREE = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}


def block(page: str, kind: str) -> str:
    """The code of a page's only block of a kind, such as `toml` or `sh tokens`."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", (HERE / page).read_text(), re.M | re.S)
    return str(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_index_names_every_page() -> None:
    links = re.findall(r"\]\((\w[\w-]*\.md)\)", (HERE / "README.md").read_text())
    assert sorted(links) == PAGES


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_no_link_leads_nowhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", (HERE / page).read_text()):
        assert (HERE / link).exists(), link


@pytest.mark.parametrize("page", [p for p in PAGES if "```toml" in (HERE / p).read_text()])
def test_settings_are_settings(page: str, tmp_path: Path) -> None:
    file = tmp_path / "turnout.toml"
    file.write_text(block(page, "toml"))
    given = load(RouterSettings, {"control": "unix:x"}, file=file, environ={})
    given.check()
    assert tomllib.loads(file.read_text())


def test_limits_shows_defaults_except_where_it_says_so() -> None:
    shown = tomllib.loads(block("limits.md", "toml"))
    changed = {name for name, value in shown.items() if value != getattr(RouterSettings(), name)}
    assert changed == {"max_body_bytes", "max_connections_per_client"}


# --- fronts


class Echo(BaseHTTPRequestHandler):
    """A replica that answers with the fields it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = "".join(f"{name.lower()}: {value}\n" for name, value in self.headers.items())
        self.send_response(200)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[str]:
    """Address of a replica."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def a_router(page: str, echo: str, state: Path, **changed: object) -> Iterator[Turnout]:
    """A router with the settings of a page, which routes one app to the replica."""
    folder = state / "router"
    folder.mkdir()
    (folder / "routes.toml").write_text(
        f'domain = "apps.example.com"\n[[app]]\nname = "shop"\n[[app.revision]]\n'
        f'name = "shop--v1"\nweight = 100\nendpoints = ["{echo}"]\n'
    )
    (folder / "turnout.toml").write_text(block(page, "toml"))
    flags = ("--config", str(folder / "turnout.toml"), "--routes", str(folder / "routes.toml"))
    settings = {**FREE, "state": folder / "s", "workers": 1, **changed}
    with Turnout("router", *flags, **settings) as router:
        yield router


def fields(connection: HTTPConnection, **sent: str) -> dict[str, str]:
    """What the replica was sent for one request."""
    headers = {"Host": HOST} | {name.replace("_", "-"): value for name, value in sent.items()}
    connection.request("GET", "/", headers=headers)
    with connection.getresponse() as response:
        assert response.status == 200, response.read()
        lines = response.read().decode().splitlines()
    connection.close()
    return dict(line.split(": ", 1) for line in lines)


class OverTls(HTTPSConnection):
    """To a front on this host, by the name of the app; its certificate is its own."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__("127.0.0.1", port, timeout=10, context=context)
        self._names = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port or 443), self.timeout)
        self.sock = self._names.wrap_socket(plain, server_hostname=HOST)


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    """A front, once it accepts connections."""
    log = folder / "front.log"
    with log.open("wb") as out:
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment() | home)

    def accepts() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(accepts)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def check_front(port: int) -> None:
    """The replica sees the client and TLS, whatever a client claims."""
    seen = fields(OverTls(port), X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="gopher")
    assert seen["host"] == HOST
    assert seen["x-forwarded-proto"] == "https"
    assert "203.0.113.9" not in seen["x-forwarded-for"]
    assert seen["x-forwarded-for"].startswith("127.0.0.1")


def test_caddy_in_front(state: Path, echo: str) -> None:
    if shutil.which("caddy") is None:
        pytest.skip("caddy is not installed (Debian package caddy)")
    port = free_port()
    own = (
        f"admin off\nlocal_certs\nskip_install_trust\nhttp_port {free_port()}\nhttps_port {port}\n"
    )
    with a_router("tls.md", echo, state) as router:
        site = block("tls.md", "caddy").replace("127.0.0.1:8080", router.facts["ingress"])
        (state / "Caddyfile").write_text(f"{{\n{own}}}\n{site}")
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(state / "Caddyfile")]
        with running(command, state, port):
            until(lambda: has_certificate(port))
            check_front(port)


def has_certificate(port: int) -> bool:
    connection = OverTls(port)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def test_nginx_in_front(state: Path, echo: str) -> None:
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("nginx and openssl are not installed")
    port, key, certificate = free_port(), state / "key.pem", state / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=*.example.com"],
        check=True, capture_output=True,
    )  # fmt: skip
    with a_router("tls.md", echo, state) as router:
        site = block("tls.md", "nginx").replace("127.0.0.1:8080", router.facts["ingress"])
        site = site.replace("/etc/ssl/apps.example.com.pem", str(certificate))
        site = site.replace("/etc/ssl/apps.example.com.key", str(key))
        site = site.replace("listen 443", f"listen 127.0.0.1:{port}")
        own = "".join(
            f"{kind}_temp_path {state / kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (state / "nginx.conf").write_text(
            f"daemon off; pid {state}/nginx.pid; error_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{own}{site}}}\n"
        )
        with running(["nginx", "-c", str(state / "nginx.conf"), "-p", str(state)], state, port):
            check_front(port)


def test_only_cloudflare_may_say_who_the_client_is(state: Path, echo: str) -> None:
    claims = {"CF_Connecting_IP": "203.0.113.9", "X_Forwarded_For": "203.0.113.9"}
    with a_router("cloudflare.md", echo, state) as router:  # we are not Cloudflare
        seen = fields(HTTPConnection("127.0.0.1", router.port), **claims)
        assert "cf-connecting-ip" not in seen
        assert seen["x-forwarded-for"] == "127.0.0.1"
        router.stop()
    shutil.rmtree(state / "router")
    with a_router("cloudflare.md", echo, state, trusted_proxies="127.0.0.0/8") as router:
        seen = fields(HTTPConnection("127.0.0.1", router.port), **claims)
        assert seen["cf-connecting-ip"] == "203.0.113.9"
        assert seen["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"


def test_only_the_proxy_in_front_may_say_who_the_client_is(state: Path, echo: str) -> None:
    claims = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "https"}
    with a_router("behind-a-proxy.md", echo, state) as router:  # we are not the proxy
        seen = fields(HTTPConnection("127.0.0.1", router.port), **claims)
        assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "http")
        router.stop()
    shutil.rmtree(state / "router")
    with a_router("behind-a-proxy.md", echo, state, trusted_proxies="127.0.0.0/8") as router:
        seen = fields(HTTPConnection("127.0.0.1", router.port), **claims)
        assert seen["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
        assert seen["x-forwarded-proto"] == "https"


# --- the rest


def test_an_upgrade_as_it_is_written(state: Path, tmp_path: Path) -> None:
    with Turnout("up", state=state / "s", workers=1, **FREE) as up:
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
        up.must("PUT", "/v1/apps/shop", body)
        for number, kind in enumerate(("sh before", "sh upgrade")):
            steps = commands_in(block("upgrade.md", kind))
            walk(steps, up, tmp_path / f"bin{number}", cwd=tmp_path)


def test_a_well_turnout_says_so(state: Path) -> None:
    with Turnout("up", state=state / "s", workers=1, **FREE) as up:
        body = {"configuration": {"ingress": {"targetPort": 80}}, "template": template("v1")}
        up.must("PUT", "/v1/apps/shop", body)
        walk(commands_in(block("watch.md", "sh health")), up, state / "bin")


def test_the_units_are_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    for name in ("turnout.service", "turnout.socket"):
        unit = (HERE.parents[1] / "config" / "systemd" / name).read_text()
        # what the page installs there
        (tmp_path / name).write_text(unit.replace("/opt/turnout/bin/turnout", "/bin/true"))
    (tmp_path / "turnout.service.d").mkdir()
    (tmp_path / "turnout.service.d" / "limits.conf").write_text(block("resources.md", "ini"))
    command = ["systemd-analyze", "verify", str(tmp_path / "turnout.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "turnout" in line]
    assert not ours, done.stderr


def test_a_backup_is_made_and_brought_back(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    with Turnout("up", state=state / "s", **FREE) as up:
        walk(commands_in(block("backup.md", "sh backup")), up, folder, cwd=tmp_path)
    restore = commands_in(block("backup.md", "sh restore"))
    walk(restore, up, tmp_path / "bin2", cwd=tmp_path)
    assert (tmp_path / "turnout.backup").stat().st_mode & 0o777 == 0o600


def test_cron_finds_the_command(state: Path, tmp_path: Path) -> None:
    """As cron runs it: with a PATH of two folders, and a percent sign that is escaped."""
    *_, line = block("backup.md", "cron").strip().split(maxsplit=6)
    assert "ln -s /opt/turnout/bin/turnout /usr/local/bin/turnout" in (
        (HERE / "systemd.md").read_text()
    )
    command = a_clone(tmp_path) / ".venv" / "bin" / "turnout"
    typed = line.replace("/usr/local/bin/turnout", str(command)).replace("\\%", "%")
    typed = typed.replace("/var/lib/turnout", str(state / "s"))
    typed = typed.replace("/var/backups", str(tmp_path))
    with Turnout("up", state=state / "s", **FREE):
        subprocess.run(["sh", "-c", typed], env={"PATH": "/usr/bin:/bin"}, check=True)
    assert list(tmp_path.glob("turnout-[1-7]"))


def test_the_setting_of_the_service_is_one(tmp_path: Path) -> None:
    script = block("systemd.md", "sh settings").replace("/etc/turnout", str(tmp_path / "turnout"))
    subprocess.run(["sh", "-e", "-c", script], check=True)
    file = tmp_path / "turnout" / "turnout.toml"
    given = load(RouterSettings, {"control": "unix:x"}, file=file, environ={})
    assert given.domain == "apps.example.com"


def test_a_router_on_another_host_follows(state: Path) -> None:
    shell = {"cwd": state, "check": True, "env": environment()}
    subprocess.run(["sh", "-c", block("two-hosts.md", "sh tokens")], **shell)
    first = block("two-hosts.md", "sh first").split()
    assert first[:4] == ["turnout", "up", "--admin", "10.0.0.1:8081"]
    second = block("two-hosts.md", "sh second")
    token = subprocess.run(
        ["sh", "-c", second.split(" turnout ")[0] + "; echo $TURNOUT_TOKEN"],
        capture_output=True, text=True, **shell,
    ).stdout.strip()  # fmt: skip
    assert (state / "tokens").stat().st_mode & 0o77 == 0
    settings = {**FREE, "token_file": state / "tokens"}
    with Turnout("up", state=state / "one", **settings) as up:
        use = block("two-hosts.md", "sh use").replace("10.0.0.1:8081", up.facts["admin"])
        walk([(use, "is ready")], up, state / "bin", cwd=state)
        flags = second.split(" turnout ")[1].replace("10.0.0.1:8081", up.facts["admin"]).split()
        with Turnout(*flags, state=state / "two", token=token, **FREE) as router:
            assert router.get("nobody.localhost")[0] == 404  # it has the table, not 503


def test_labels_from_traefik_are_read() -> None:
    labels = yaml.safe_load(block("traefik.md", "yaml turnout"))["labels"]
    found = read(Container("id", "shop-1", "shop:v3", "sha256:0", 1.0, labels, "10.0.0.2"))
    assert isinstance(found, Replica), found
    assert (found.app, found.hosts, found.address) == (
        "shop",
        ("shop.example.com",),
        "10.0.0.2:8080",
    )
    assert (found.probe.path, found.probe.interval_s) == ("/healthz", 2.0)


def test_users_have_tokens_of_their_own(state: Path) -> None:
    tokens = block("api-users.md", "sh tokens")
    subprocess.run(["sh", "-c", tokens], cwd=state, check=True)
    roles = [line.split()[:2] for line in (state / "tokens").read_text().splitlines()]
    assert roles == [["anna", "write"], ["ci", "write"], ["grafana", "read"], ["edge", "router"]]
    with Turnout("up", state=state / "s", token_file=state / "tokens", **FREE) as up:
        for number, kind in enumerate(("sh use", "sh edit")):  # each is typed into one shell
            script, _, shows = block("api-users.md", kind).partition("# shows: ")
            walk([(script, shows.strip())], up, state / f"bin{number}", cwd=state)


def test_a_leaked_token_is_replaced(state: Path) -> None:
    (script,) = re.findall(r"^```sh rotate\n(.*?)^```", SECURITY.read_text(), re.M | re.S)
    with Turnout("up", state=state / ".turnout", **FREE) as up:
        leaked = up.token
        walk([(script, "Name")], up, state / "bin", cwd=state)
        assert (state / ".turnout" / "token").stat().st_mode & 0o777 == 0o600
        assert up.token != leaked
        assert run("app", "list", server=up.server, token=leaked).returncode
