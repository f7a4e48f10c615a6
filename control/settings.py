"""Every knob of the control plane: unit, default and reason. Read by `router.config.load`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from control.model import targets
from router.contract.settings import AdminSettings
from router.process.config import check_log_level, problem_of, refuse, setting, split_address

_STATE = Path(".turnout")
RUNTIMES = ("docker", "endpoint", "process")


@dataclass(frozen=True, slots=True)
class ControlSettings(AdminSettings):
    """The control plane's settings; documented in config/README.md, which is made from them."""

    admin: str = setting("127.0.0.1:8081", "HOST:PORT of the API and the admin endpoints.")
    domain: str = setting("localhost", "Domain of the apps' hosts.")
    state: Path = setting(_STATE, "Directory of everything that survives a restart.")
    sync: str = setting("", "unix:PATH on which a router on this host follows; empty for none.")
    router_admin: str = setting(
        "", "unix:PATH of that router's admin endpoints, shown on the admin port too."
    )
    log_level: str = setting("info", "debug, info, warning or error.")
    environment: str = setting(
        "local", "Name of the managed environment that exists from the start, for Azure clients."
    )
    resource_group: str = setting(
        "local",
        "Name of the resource group that exists from the start: it holds that environment, and the"
        " apps of the native API.",
    )
    azure_port: int = setting(
        -1, "Port on loopback that serves Azure's API over TLS, for az; 0 picks one, -1 is none."
    )
    runtimes: tuple[str, ...] = setting(
        ("docker", "endpoint"),
        "What replicas may be, of docker, endpoint and process. process runs commands as turnout's"
        " user, so whoever may deploy is that user: it is asked for by name.",
    )
    endpoint_networks: tuple[str, ...] = setting(
        targets.PRIVATE,
        "Networks (CIDR) that the addresses of endpoint: images may lie in, by default loopback and"
        " private ones. Link-local and metadata addresses never may.",
    )
    docker_host: str = setting(
        "", "Docker Engine, unix:// or tcp://; by default DOCKER_HOST, then its usual socket."
    )
    docker_host_paths: tuple[str, ...] = setting(
        (), "Directories of the host that HostPath volumes may lie in; none allows none."
    )
    docker_publish: bool = setting(
        False,
        "Reach containers at published ports of 127.0.0.1, for an engine in a virtual machine"
        " (Docker Desktop). Its proxy accepts for programs that do not listen yet: probe by HTTP.",
    )
    on_exit: str = setting(
        "",
        "keep or stop the local processes when turnout is told to leave; by default turnout control"
        " keeps them, which its next start finds again, and turnout up stops them.",
    )

    progress_deadline_s: float = setting(
        600.0, "Seconds a revision has to become ready; ACA's ten minutes."
    )
    crash_loop_exits: int = setting(
        3, "Exits of one replica after which a revision that never was ready has failed."
    )
    restart_backoff_s: float = setting(
        10.0,
        "Seconds before the second restart, doubling; the first is immediate. Seconds for which the"
        " replica was ready count.",
    )
    max_backoff_s: float = setting(300.0, "Seconds between restarts at most.")
    healthy_after_s: float = setting(600.0, "Seconds in good health that reset the back-off.")
    drain_timeout_s: float = setting(
        75.0,
        "Seconds that requests in flight may hold up a replica's end; above the router's"
        " tunnel_drain_s and tunnel_spread_s, or WebSockets would be cut.",
    )
    router_lease_s: float = setting(
        60.0,
        "Seconds a router that went away is waited for before replicas it may use are stopped;"
        " above its orphan_grace_s, as its workers serve on for that long.",
    )
    journal_app_records: int = setting(
        500, "Records of one app that the journal keeps; the oldest go first."
    )
    journal_records: int = setting(
        100_000,
        "The journal keeps the last so many records of all apps, and always the last ten of an app"
        " that exists.",
    )
    journal_days: float = setting(
        365.0, "Days that the journal keeps a record; always the last ten of an app that exists."
    )
    conflate_ms: float = setting(20.0, "Milliseconds in which changes become one table version.")
    tick_s: float = setting(
        1.0, "Seconds between two looks at everything, should an event be lost."
    )
    max_body_bytes: int = setting(1 << 20, "Bytes of a request to the API.")

    def check(self) -> ControlSettings:
        """Itself, when the values make sense together. Raises BadSettings."""
        refuse(self.problems())
        return self

    def problems(self) -> Iterator[str]:
        """All that makes no sense."""
        if not self.admin.startswith("unix:"):
            yield from problem_of(split_address, self.admin, "admin")
        yield from problem_of(check_log_level, self.log_level)
        for name in ("journal_app_records", "journal_records", "journal_days"):
            if getattr(self, name) <= 0:
                yield f"{name}: {getattr(self, name)} is not above 0"
        if self.on_exit not in ("", "keep", "stop"):
            yield f"on_exit: {self.on_exit!r} is neither keep nor stop"
        for kind in self.runtimes:
            if kind not in RUNTIMES:
                yield f"runtimes: {kind!r} is none of {', '.join(RUNTIMES)}"
        yield from problem_of(targets.networks, self.endpoint_networks)
        for name in ("admin_connections", "admin_silence_s"):
            if getattr(self, name) <= 0:
                yield f"{name}: {getattr(self, name)} is not above 0"
