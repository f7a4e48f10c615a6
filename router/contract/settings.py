"""Every setting of the router: unit, default and reason. Read by `config.load`, then frozen."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from router.contract.peers import network
from router.process.config import check_log_level, problem_of, refuse, setting, split_address

# time for late requests on idle connections, Close frames and a busy machine
_ORPHANS_SLACK_S = 15.0
_STATE = Path(".turnout")

# Further fields that programs trust to tell them the client's address or what it asked for.
TRUSTED_ONLY = (
    "X-Real-IP", "X-Client-IP", "X-Original-URL", "X-Rewrite-URL", "X-MS-CLIENT-PRINCIPAL*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Settings that decide which clients may do what at an admin port."""

    token_file: str = setting(
        "",
        "File of NAME ROLE TOKEN lines, role read, write or router; without one the first start"
        " writes a token to STATE/token. Needed once the admin port leaves loopback.",
    )
    admin_hosts: tuple[str, ...] = setting(
        (),
        "Names, beside loopback's and its own address, by which the admin port is reached; requests"
        " for any other host get 421.",
    )
    admin_connections: int = setting(
        512,
        "Open connections to the admin port; then the one silent longest is closed, or a long poll"
        " of the token that has most.",
    )
    admin_silence_s: float = setting(
        15.0, "Seconds a connection to the admin port may take to send a first request."
    )
    protect_metrics: bool = setting(False, "Ask for a token on /metrics and /readyz too.")


@dataclass(frozen=True, slots=True)
class RouterSettings(AdminSettings):
    """The router's settings; config/README.md is generated from them."""

    listen: str = setting("0.0.0.0:8080", "HOST:PORT of the ingress; port 0 takes a free one.")
    admin: str = setting("127.0.0.1:8081", "HOST:PORT, or unix:PATH, of the admin endpoints.")
    workers: int = setting(0, "Worker processes; 0 means one per core.")
    domain: str = setting(
        "localhost", "Domain of the apps' hosts; browsers resolve *.localhost by themselves."
    )
    state: Path = setting(_STATE, "Directory of everything that survives a restart.")
    routes: str = setting("", "Routes file to follow (TOML).")
    control: str = setting("", "Control plane to follow: http://HOST:PORT or unix:PATH.")
    docker: bool = setting(
        False,
        "Follow the labelled containers of a Docker Engine (turnout.enable=true); alone, or beside"
        " a control plane or routes file, whose apps come first.",
    )
    docker_host: str = setting(
        "", "Docker Engine, unix:// or tcp://; by default DOCKER_HOST, then its usual socket."
    )
    docker_resync_s: float = setting(
        15.0, "Seconds between two looks at all containers, should an event be lost."
    )
    docker_absent_s: float = setting(
        60.0,
        "Seconds for which an app whose last container went is answered with 503, not 404: it may"
        " be recreated.",
    )
    token: str = setting(
        "",
        "Token for the control plane, best of the role router; by default one of token_file, or the"
        " one in STATE/token if the control plane is on this host.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), "Networks (CIDR) whose X-Forwarded-* are believed; others' are replaced."
    )
    trusted_only_fields: tuple[str, ...] = setting(
        TRUSTED_ONLY,
        "Fields of a request that only trusted_proxies may send, as replicas take them for the"
        " client's address, identity or path; others' are dropped. A last * stands for any end.",
    )
    internal_networks: tuple[str, ...] = setting(
        (),
        "Networks (CIDR) whose clients reach apps with external: false, such as 127.0.0.0/8 or that"
        " of the containers; none by default: for everybody they are HostNotFound.",
    )
    log_level: str = setting("info", "debug, info, warning or error.")
    via: bool = setting(
        True,
        "Add Via to forwarded requests (RFC 9110 §7.6.3); if not, X-Turnout-Hops counts passes.",
    )
    expose_revision: bool = setting(
        False, "Add X-Turnout-Revision, -Replica and -Reason to answers."
    )

    max_head_bytes: int = setting(32768, "Bytes of a head, either side; Envoy's is 60 KiB.")
    max_target_bytes: int = setting(8192, "Bytes of a request target (RFC 9112 §3 asks for 8000).")
    max_fields: int = setting(100, "Header fields of a request; ACA's headerCountLimit.")
    head_timeout_s: float = setting(15.0, "Seconds a client has to send a head (slowloris).")
    max_body_bytes: int = setting(
        0, "Bytes of a request's body, else 413; 0: no limit, as bodies are streamed."
    )
    max_connections: int = setting(
        20000,
        "Open client connections in all, else 503; at 4 KiB each when idle. Fewer, and a warning"
        " says so, where the hard limit of descriptors does not allow two for each.",
    )
    max_connections_per_client: int = setting(
        0,
        "The same for one client address in one worker, else 429; 0: no limit, as behind a load"
        " balancer all clients have one address.",
    )
    max_requests_per_connection: int = setting(
        10000, "Requests until a connection is closed, so that load spreads over workers again."
    )
    keepalive_timeout_s: float = setting(75.0, "Seconds a client's idle connection is kept.")
    body_idle_timeout_s: float = setting(60.0, "Seconds between two reads of a request's body.")
    connect_timeout_s: float = setting(5.0, "Seconds for a replica to accept a connection.")
    response_timeout_s: float = setting(240.0, "Seconds to the response's head; ACA's limit.")
    response_idle_s: float = setting(240.0, "Seconds between two reads of a response's body.")
    write_timeout_s: float = setting(
        30.0,
        "Seconds in which a client has to take some of what it is owed; looked at once in that"
        " time, so a client that reads nothing is given up after one to two of them.",
    )
    max_in_flight_per_replica: int = setting(
        1024, "Requests at a replica at once; Envoy's number. Each worker takes its share."
    )
    max_tunnels_per_replica: int = setting(
        4096, "WebSockets and other tunnels at a replica at once, apart from its requests."
    )
    max_queue_per_revision: int = setting(
        1024, "Requests that wait for room at a revision's replicas; one more gets 503 at once."
    )
    queue_timeout_s: float = setting(5.0, "Seconds a request waits for room, then 503.")
    overload_lag_s: float = setting(
        0.25, "Seconds a worker's loop may be late before it answers some requests with 503."
    )
    retry_budget_percent: float = setting(
        20.0, "Requests sent again, in percent of a revision's requests in the last ten seconds."
    )
    retry_min_per_s: float = setting(3.0, "Retries allowed per second, however few requests.")
    retry_other_revisions: bool = setting(
        True, "When a revision's replicas all fail, try another of the split that has weight."
    )
    eject_after_faults: int = setting(
        5, "502, 503 or 504 in a row after which a replica is passed over; 0: never."
    )
    slow_start_s: float = setting(
        10.0, "Seconds in which a replica that was passed over grows to its full share."
    )
    tunnel_drain_s: float = setting(
        60.0, "Seconds a WebSocket lives on after its revision or worker began to leave."
    )
    tunnel_spread_s: float = setting(
        5.0, "Seconds over which leaving WebSockets are closed, so clients do not return at once."
    )
    tunnel_idle_s: float = setting(3600.0, "Seconds a WebSocket may stay silent.")
    half_close_s: float = setting(
        1.0, "Seconds of silence after which a client that closed its direction counts as gone."
    )
    linger_s: float = setting(2.0, "Seconds to read on after the last answer (RFC 9112 §9.6).")
    discard_bytes: int = setting(1 << 20, "Bytes of body read and dropped after an early answer.")
    discard_timeout_s: float = setting(5.0, "Seconds for that.")
    replay_bytes: int = setting(65536, "Bytes of request body kept so that it can be sent again.")
    upstream_idle_connections: int = setting(64, "Idle connections kept per replica and worker.")
    upstream_idle_s: float = setting(
        4.0, "Seconds an idle connection to a replica is kept; common servers close after 5."
    )
    drain_timeout_s: float = setting(30.0, "Seconds for requests in flight when a worker leaves.")
    worker_silence_s: float = setting(
        10.0, "Seconds without a sign of life after which a worker is replaced."
    )
    orphan_grace_s: float = setting(
        10.0, "Seconds a worker serves on after its supervisor died, for a new one to take over."
    )
    tick_s: float = setting(0.25, "Seconds between two sweeps; the resolution of every timeout.")
    access_log: str = setting("", "File for one JSON line per request; - is stdout, empty is off.")
    access_log_min_status: int = setting(0, "Log only answers with this status or a higher one;")
    access_log_min_s: float = setting(0.0, "and those that took at least this many seconds.")
    otlp_endpoint: str = setting(
        "",
        "http://HOST:PORT of an OpenTelemetry collector, which gets the spans of sampled requests"
        " (OTLP over HTTP); empty is off. Install turnout[otel] for it.",
    )
    trace_sample_percent: float = setting(
        0.0,
        "Percent of the requests without a traceparent for which a trace is begun; of one with it,"
        " the sender has decided.",
    )
    metric_lifetime_s: float = setting(600.0, "Seconds a gone revision's series are kept.")

    def share(self, total: int) -> int:
        """One worker's part of `total`, which all workers share; at least one."""
        return -(-total // self.worker_count)

    @property
    def worker_count(self) -> int:
        return self.workers or os.cpu_count() or 1

    @property
    def orphans_end_s(self) -> float:
        """Seconds after which every healthy worker of a killed supervisor has drained and ended."""
        drained_s = max(self.drain_timeout_s, self.tunnel_drain_s) + self.tunnel_spread_s
        return self.orphan_grace_s + drained_s + _ORPHANS_SLACK_S

    def check(self) -> RouterSettings:
        """The settings, if their values make sense together. Raises BadSettings."""
        refuse(self.problems())
        return self

    def problems(self) -> Iterator[str]:
        """Each contradiction among the values."""
        yield from problem_of(split_address, self.listen, "listen")
        if not self.admin.startswith("unix:"):
            yield from problem_of(split_address, self.admin, "admin")
        if self.workers < 0 or self.workers > 1024:
            yield f"workers: {self.workers} is not within 0 to 1024"
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                yield f"{name}: {getattr(self, name)} is not above 0"
        yield from problem_of(check_log_level, self.log_level)
        yield from self._trust_problems()
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("http://", "https://")):
            yield f"otlp_endpoint: {self.otlp_endpoint!r} is not http://HOST:PORT"
        if not 0 <= self.trace_sample_percent <= 100:
            yield f"trace_sample_percent: {self.trace_sample_percent:g} is not within 0 to 100"
        if self.routes and self.control:
            yield "a router follows --routes FILE or --control URL, not both"
        if not (self.routes or self.control or self.docker):
            yield "a router follows --routes FILE, --control URL or --docker"

    def _trust_problems(self) -> Iterator[str]:
        for setting_name in ("trusted_proxies", "internal_networks"):
            for text in getattr(self, setting_name):
                try:
                    network(text)
                except ValueError as error:
                    yield f"{setting_name}: {error}; 10.0.0.0/8 is one"
        for name in self.trusted_only_fields:
            if not _NAME_OR_BEGINNING.fullmatch(name.encode()):
                yield f"trusted_only_fields: {name!r} is not a field name (X-A or X-*)"


# A field name (RFC 9110 §5.6.2). The grammar includes "*", which may be the last character.
_NAME_OR_BEGINNING = re.compile(rb"(?!\*)[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# With zero or less, every request would be refused or none would ever end.
_POSITIVE = (
    "max_head_bytes", "max_target_bytes", "max_fields", "max_connections",
    "max_requests_per_connection", "max_in_flight_per_replica", "max_tunnels_per_replica",
    "head_timeout_s", "write_timeout_s",
    "keepalive_timeout_s", "body_idle_timeout_s", "connect_timeout_s", "response_timeout_s",
    "response_idle_s", "queue_timeout_s", "overload_lag_s", "tunnel_idle_s", "worker_silence_s",
    "tick_s", "admin_connections", "admin_silence_s",
)  # fmt: skip
