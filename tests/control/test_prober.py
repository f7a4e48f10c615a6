"""Probes against real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control.model.resources import Replica
from control.model.targets import PRIVATE, Targets
from control.model.template import Probe, Template
from control.probes.defaults import Probes, probes_of
from control.probes.prober import Prober, Verdict
from tests.support.origin import Connection, Origin


class Heard:
    """What the prober said, and a way to wait for it."""

    def __init__(self) -> None:
        self.said: list[tuple[Verdict, str]] = []
        self.failures: list[str] = []
        self._news = asyncio.Event()

    def on_verdict(self, replica: str, verdict: Verdict, seen: str) -> None:
        self.said.append((verdict, seen))
        self._news.set()

    def on_failure(self, replica: str, kind: str) -> None:
        self.failures.append(kind)

    async def until(self, verdict: Verdict) -> str:
        async with asyncio.timeout(10):
            while True:
                for known, seen in self.said:
                    if known is verdict:
                        return seen
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody listens, and that nobody else is given meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def a_probe(kind: str = "Readiness", timeout_s: float = 1.0, **given: Any) -> Probe:
    if "tcp" not in given:
        given.setdefault("http_get", {"path": "/ok", "port": 80})
    if given.pop("tcp", False):
        given["tcp_socket"] = {"port": 80}
    probe = Probe.model_validate({"type": kind, **given})
    # The schema has whole seconds, of which a test need not wait one.
    return probe.model_copy(update={"period_seconds": 0.05, "timeout_seconds": timeout_s})


@asynccontextmanager
async def probing(address: str, probes: Probes) -> AsyncIterator[Heard]:
    heard = Heard()
    prober = Prober(heard.on_verdict, heard.on_failure, Targets(PRIVATE))
    replica = Replica("r", "shop", "shop--v1", 0.0, address=address)
    prober.watch(replica, [probes], is_started=False)
    try:
        yield heard
    finally:
        await prober.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_200_to_399_is_success_and_redirects_are_not_followed(answer: bytes) -> None:
    async with Origin(answer) as origin:
        async with probing(origin.address, Probes(readiness=a_probe())) as heard:
            await heard.until(Verdict.READY)
        assert all(head.startswith(b"GET /ok ") for head in origin.heads)


async def test_an_error_status_names_itself() -> None:
    answer = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    async with Origin(answer) as origin:
        async with probing(origin.address, Probes(readiness=a_probe())) as heard:
            assert await heard.until(Verdict.UNREADY) == "/ok answered 503"
            assert "Readiness" in heard.failures


async def test_tcp_succeeds_on_a_connection() -> None:
    async with Origin() as origin:
        async with probing(origin.address, Probes(readiness=a_probe(tcp=True))) as heard:
            assert await heard.until(Verdict.READY) == ""
            async with asyncio.timeout(10):
                while not origin.connections:  # it may be in the kernel's queue still
                    await asyncio.sleep(0.01)


async def test_nobody_listening_is_said_with_the_address(nobody: str) -> None:
    async with probing(nobody, Probes(readiness=a_probe(tcp=True))) as heard:
        seen = await heard.until(Verdict.UNREADY)
        assert f"nothing listens on {nobody}" in seen


async def test_a_probe_does_not_outlive_its_timeout() -> None:
    async def silent(connection: Any) -> None:
        await connection.reader.read()

    async with Origin(silent) as origin:
        probes = Probes(readiness=a_probe(timeout_s=0.05))
        async with probing(origin.address, probes) as heard:
            assert await heard.until(Verdict.UNREADY) == "no answer within 0.05 s"


async def test_startup_runs_alone_and_then_the_others() -> None:
    async with Origin() as origin:
        probes = Probes(a_probe("Startup"), a_probe(), a_probe("Liveness"))
        async with probing(origin.address, probes) as heard:
            await heard.until(Verdict.READY)
            assert heard.failures == []


async def test_startup_that_fails_often_enough_fails_the_replica(nobody: str) -> None:
    probes = Probes(startup=a_probe("Startup", failure_threshold=1), readiness=a_probe())
    async with probing(nobody, probes) as heard:
        await heard.until(Verdict.STARTUP_FAILED)
        assert heard.failures == ["Startup"]


async def test_liveness_failures_ask_for_a_restart(nobody: str) -> None:
    probes = Probes(liveness=a_probe("Liveness", failure_threshold=1))
    async with probing(nobody, probes) as heard:
        await heard.until(Verdict.LIVENESS_FAILED)


async def test_without_probes_started_is_ready() -> None:
    async with probing("127.0.0.1:1", Probes()) as heard:
        await heard.until(Verdict.READY)
        assert heard.failures == []


def test_ingress_brings_default_probes_for_those_not_given() -> None:
    template = Template.model_validate(
        {
            "containers": [
                {
                    "image": "process:demo",
                    "probes": [{"type": "readiness", "httpGet": {"port": 80}}],
                }
            ]
        }
    )

    (none,) = probes_of(template, has_ingress=False)
    (found,) = probes_of(template, has_ingress=True)

    assert none.startup is none.liveness is None
    assert found.readiness == none.readiness
    assert found.startup is not None
    assert (found.startup.period_seconds, found.startup.failure_threshold) == (1, 240)
    assert found.liveness is not None
    assert (found.liveness.period_seconds, found.liveness.failure_threshold) == (10, 3)


async def test_a_name_is_judged_by_the_address_it_leads_to_at_every_probe() -> None:
    """`localhost` stands for a name that led elsewhere when it was accepted."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with Origin(answer) as origin:
        port = origin.address.rpartition(":")[2]
        for networks, verdict in ((PRIVATE, Verdict.READY), (["10.0.0.0/8"], Verdict.UNREADY)):
            for probe in (a_probe(), a_probe(tcp=True)):
                heard = Heard()
                prober = Prober(heard.on_verdict, heard.on_failure, Targets(networks))
                replica = Replica(
                    "r", "shop", "shop--v1", 0.0, runtime="endpoint", address=f"localhost:{port}"
                )
                prober.watch(replica, [Probes(readiness=probe)], is_started=False)
                seen = await heard.until(verdict)
                await prober.close()
                assert ("127.0.0.1" in seen or "::1" in seen) == (verdict is Verdict.UNREADY)
                assert ("endpoint_networks" in seen) == (verdict is Verdict.UNREADY)
        # the name stays in Host though its address is what is connected to
        assert {h for head in origin.heads for h in head.split(b"\r\n") if b"Host" in h} == {
            b"Host: localhost:" + port.encode()
        }


async def test_an_address_that_is_not_allowed_any_more_is_not_asked() -> None:
    async with Origin(b"") as origin:
        heard = Heard()
        prober = Prober(heard.on_verdict, heard.on_failure, Targets(["10.0.0.0/8"]))
        replica = Replica("r", "shop", "s--v1", 0.0, runtime="endpoint", address=origin.address)
        prober.watch(replica, [Probes(readiness=a_probe())], is_started=False)
        assert "endpoint_networks" in await heard.until(Verdict.UNREADY)
        await prober.close()
        assert origin.heads == []


async def test_a_verdict_that_cannot_be_acted_upon_ends_no_probing(
    nobody: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = Heard()

    def full_disk_once(replica: str, verdict: Verdict, seen: str) -> None:
        heard.on_verdict(replica, verdict, seen)
        if len(heard.said) == 1:
            raise OSError("no space left")

    prober = Prober(full_disk_once, heard.on_failure, Targets(PRIVATE))
    replica = Replica("r", "shop", "shop--v1", 0.0, address=nobody)
    probes = Probes(startup=a_probe("Startup", tcp=True, failure_threshold=2))
    prober.watch(replica, [probes], is_started=False)
    await heard.until(Verdict.STARTUP_FAILED)
    await prober.close()
    assert "event=verdict_failed" in caplog.text


async def test_replicas_at_one_address_share_an_answer_and_each_hears_it() -> None:
    async with Origin() as origin:
        verdicts: dict[str, Verdict] = {}
        all_ready = asyncio.Event()

        def on_verdict(replica: str, verdict: Verdict, seen: str) -> None:
            verdicts[replica] = verdict
            if set(verdicts.values()) == {Verdict.READY} and len(verdicts) == 50:
                all_ready.set()

        prober = Prober(on_verdict, lambda *_: None, Targets(PRIVATE))
        for n in range(51):
            replica = Replica(f"r{n}", "shop", "shop--v1", 0.0, address=origin.address)
            prober.watch(replica, [Probes(readiness=a_probe())], is_started=False)
        prober.forget("r0")  # the one that asks for all
        async with asyncio.timeout(10):
            await all_ready.wait()
        await prober.close()
        assert len(origin.heads) < 10


async def test_a_patient_probe_of_one_app_does_not_hold_up_that_of_another() -> None:
    """Both ask the same of the same address, which accepts and never answers."""

    async def silent(connection: Connection) -> None:
        await connection.reader.read()

    heard = {"patient": Heard(), "hasty": Heard()}
    async with Origin(silent) as origin:

        def on_verdict(replica: str, verdict: Verdict, seen: str) -> None:
            heard[replica].on_verdict(replica, verdict, seen)

        prober = Prober(on_verdict, lambda *_: None, Targets(PRIVATE))
        try:
            for name, timeout_s in (("patient", 60.0), ("hasty", 0.1)):
                probe = a_probe(timeout_s=timeout_s)
                replica = Replica(name, name, f"{name}--v1", 0.0, address=origin.address)
                prober.watch(replica, [Probes(readiness=probe)], is_started=False)
            for _ in range(3):  # every time anew
                assert await heard["hasty"].until(Verdict.UNREADY) == "no answer within 0.1 s"
                heard["hasty"].said.clear()
            assert heard["patient"].said == []
        finally:
            await prober.close()
