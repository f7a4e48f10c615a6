"""Asks replicas how they are: startup, readiness and liveness probes (contract §7).

Knows nothing of what is done about the answers: it tells a consumer that a replica started, is
ready or not, or should be restarted. A probe never outlives its timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import aiohttp

from control.resolving import Refused, allowed_addresses
from control.resources import Replica
from control.targets import Targets
from control.template import HttpGet, Probe, TcpSocket, Template


class Verdict(StrEnum):
    """What a probe's consumer can be told."""

    READY = "ready"
    UNREADY = "unready"
    STARTUP_FAILED = "startup failed"
    LIVENESS_FAILED = "liveness failed"


OnVerdict = Callable[[str, Verdict, str], None]  # replica, verdict, what was seen
OnFailure = Callable[[str, str], None]  # replica, probe type; for the metric

# The port of a probe is the replica's own, whatever the template says.
_TCP = Probe(type="Startup", tcp_socket=TcpSocket(port=1))

# contract §7, "Defaults when ingress is on": delay, period, timeout, failures
_DEFAULTS = {"Startup": (1, 1, 3, 240), "Readiness": (3, 5, 5, 48), "Liveness": (0, 10, 1, 3)}


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of one replica; None where there is none."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


def probes_of(template: Template, *, has_ingress: bool) -> list[Probes]:
    """Those of each container; an ingress brings defaults for the main one's that are not given."""
    by_type: list[dict[str, Probe]] = [{p.type: p for p in c.probes} for c in template.containers]
    main, *others = by_type
    if has_ingress:
        for kind, (delay, period, timeout, failures) in _DEFAULTS.items():
            main.setdefault(
                kind,
                _TCP.model_copy(
                    update={
                        "type": kind,
                        "initial_delay_seconds": delay,
                        "period_seconds": period,
                        "timeout_seconds": timeout,
                        "failure_threshold": failures,
                    }
                ),
            )
    return [
        Probes(found.get("Startup"), found.get("Readiness"), found.get("Liveness"))
        for found in (main, *others)
        if found or found is main
    ]


class Prober:
    """Probes every replica it was told of until it is told to forget it."""

    def __init__(self, on_verdict: OnVerdict, on_failure: OnFailure, targets: Targets) -> None:
        self.targets = targets
        self._on_verdict = on_verdict
        self._on_failure = on_failure
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    def watch(self, replica: Replica, probes: Sequence[Probes], *, is_started: bool) -> None:
        """Begin to probe; `is_started` for a replica that was ready before we were."""
        self.forget(replica.name)
        if self._session is None:
            # A new connection each time: a kept one would not notice that nobody listens any more.
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        watch = _Watch(self, replica, probes)
        self._watches[replica.name] = asyncio.create_task(watch.run(is_started=is_started))

    def watches(self, replica: str) -> bool:
        """Whether a replica is being probed."""
        return replica in self._watches

    def forget(self, replica: str) -> None:
        """Stop probing a replica."""
        task = self._watches.pop(replica, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop probing everything."""
        tasks = list(self._watches.values())
        for name in list(self._watches):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def tell(self, replica: str, verdict: Verdict, seen: str) -> None:
        """Pass a verdict on."""
        self._on_verdict(replica, verdict, seen)

    def count_failure(self, replica: str, kind: str) -> None:
        """Count one failed probe."""
        self._on_failure(replica, kind)

    async def ask(self, probe: Probe, address: str, *, is_judged: bool = True) -> str:
        """One probe; returns what went wrong, or nothing.

        An address that is not judged yet is looked up and has to be an allowed target.
        """
        host, port = split(address)
        try:
            async with asyncio.timeout(probe.timeout_seconds):
                if is_judged:
                    return await self._ask_at(probe, host, port, host)
                return await self._ask_any(probe, host, port)
        except Refused as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {probe.timeout_seconds} s"
        except OSError as error:
            return f"nothing listens on {address} ({error.strerror or error})"
        except aiohttp.ClientError as error:
            return f"not a valid HTTP answer ({error})"

    async def _ask_any(self, probe: Probe, host: str, port: int) -> str:
        """The first address that takes a connection answers for its name."""
        *others, last = await allowed_addresses(self.targets, host, port)
        for at in others:
            with contextlib.suppress(OSError):
                return await self._ask_at(probe, host, port, at)
        return await self._ask_at(probe, host, port, last)

    async def _ask_at(self, probe: Probe, host: str, port: int, at: str) -> str:
        if probe.http_get is not None:
            return await self._ask_http(probe.http_get, host, port, at)
        _, writer = await asyncio.open_connection(at, port)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return ""

    async def _ask_http(self, get: HttpGet, host: str, port: int, at: str) -> str:
        """GET as for `host`, from the address `at`."""
        assert self._session is not None
        headers = {h.name: h.value for h in get.http_headers}
        if get.host or at != host:
            headers.setdefault("Host", get.host or f"{host}:{port}")
        url = f"{get.scheme.lower()}://{f'[{at}]' if ':' in at else at}:{port}{get.path}"
        # A replica's certificate is its own affair (kubelet does not verify it either).
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if get.scheme == "HTTPS" else True
        if isinstance(tls, ssl.SSLContext):
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        name = host if at != host and get.scheme == "HTTPS" else None
        async with self._session.get(
            url, headers=headers, allow_redirects=False, ssl=tls, server_hostname=name
        ) as response:
            if 200 <= response.status <= 399:
                return ""
            return f"{get.path} answered {response.status}"


class _Watch:
    """The probes of one replica, in their order: startup alone first, then the other two."""

    def __init__(self, prober: Prober, replica: Replica, probes: Sequence[Probes]) -> None:
        self._prober = prober
        self._replica = replica.name
        self._address = replica.address
        self._ports = replica.ports
        # Where our own processes and containers are is no app's choice; a name is judged each time.
        self._is_judged = replica.runtime != "endpoint" or prober.targets.is_good_address(
            split(replica.address)[0]
        )
        self._probes = probes
        self._began = asyncio.get_running_loop().time()
        self._unready = set(range(len(probes)))  # containers that are not ready

    async def run(self, *, is_started: bool) -> None:
        """Probe until cancelled."""
        if is_started:
            self._unready.clear()
        async with asyncio.TaskGroup() as group:
            for number, probes in enumerate(self._probes):
                group.create_task(self._container(number, probes, is_started=is_started))

    async def _container(self, number: int, probes: Probes, *, is_started: bool) -> None:
        startup = probes.startup
        if startup is not None and not is_started and not await self._started(startup):
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._readiness(number, probes.readiness, is_ready=is_started))
            if probes.liveness is not None:
                group.create_task(self._liveness(probes.liveness))

    def _ready(self, number: int) -> None:
        """A replica is ready when all its containers are (contract §4.5)."""
        self._unready.discard(number)
        if not self._unready:
            self._prober.tell(self._replica, Verdict.READY, "")

    def _not_ready(self, number: int, seen: str) -> None:
        self._unready.add(number)
        self._prober.tell(self._replica, Verdict.UNREADY, seen)

    async def _delay(self, probe: Probe) -> None:
        """An initial delay counts from the start of the replica, not of the probe."""
        elapsed = asyncio.get_running_loop().time() - self._began
        await asyncio.sleep(max(0.0, probe.initial_delay_seconds - elapsed))

    async def _ask(self, probe: Probe) -> str:
        asked = probe.http_get or probe.tcp_socket
        address = self._ports.get(str(asked.port) if asked else "", self._address)
        wrong = await self._prober.ask(probe, address, is_judged=self._is_judged)
        if wrong:
            self._prober.count_failure(self._replica, probe.type)
        return wrong

    async def _started(self, probe: Probe) -> bool:
        await self._delay(probe)
        failures = 0
        while True:
            wrong = await self._ask(probe)
            if not wrong:
                return True
            failures += 1
            if failures >= probe.failure_threshold:
                self._prober.tell(self._replica, Verdict.STARTUP_FAILED, wrong)
                return False
            self._prober.tell(self._replica, Verdict.UNREADY, f"startup probe: {wrong}")
            await asyncio.sleep(probe.period_seconds)

    async def _readiness(self, number: int, probe: Probe | None, *, is_ready: bool) -> None:
        if probe is None:
            self._ready(number)
            return
        await self._delay(probe)
        successes = failures = 0
        phase = _phase() if is_ready else 1.0
        while True:
            wrong = await self._ask(probe)
            successes, failures = (0, failures + 1) if wrong else (successes + 1, 0)
            if not is_ready and successes >= probe.success_threshold:
                is_ready = True
                self._ready(number)
            elif wrong and (not is_ready or failures >= probe.failure_threshold):
                is_ready = False
                self._not_ready(number, wrong)
            # A replica that is expected to come is asked more often than its period says: the
            # period is how long a *change* may go unnoticed, not how long a deploy should wait.
            pause = probe.period_seconds if is_ready else min(1, probe.period_seconds)
            await asyncio.sleep(pause * phase)
            phase = 1.0

    async def _liveness(self, probe: Probe) -> None:
        await self._delay(probe)
        await asyncio.sleep(probe.period_seconds * _phase())
        failures = 0
        while True:
            wrong = await self._ask(probe)
            failures = failures + 1 if wrong else 0
            if failures >= probe.failure_threshold:
                self._prober.tell(self._replica, Verdict.LIVENESS_FAILED, wrong)
                return
            await asyncio.sleep(probe.period_seconds)


def split(address: str) -> tuple[str, int]:
    """HOST:PORT in two."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _phase() -> float:
    """Where in its period a probe begins: a thousand at the same moment would be a stall."""
    return random.random()
