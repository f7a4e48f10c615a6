from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from router.contract.settings import RouterSettings
from router.loop.descriptors import connections_within, fitted, last_for_clients
from tests.support.builders import a_revision, an_app
from tests.support.edges import running
from tests.support.origin import Origin


@pytest.mark.parametrize(
    ("wanted", "workers", "hard", "effective"),
    [
        (20_000, 2, 1_048_576, 20_000),
        (20_000, 2, -1, 20_000),  # without a limit
        (20_000, 2, 20_322, 20_000),
        (20_000, 2, 20_321, 19_998),  # one short: each of two workers gives up one
        (20_000, 1, 4096, 1887),
        (100, 1, 4096, 100),
        (20_000, 4, 1024, 1400),
        (20_000, 2, 64, 2),  # hopeless, but it starts and says so
    ],
)
def test_each_connection_takes_two_descriptors_of_its_worker(
    wanted: int, workers: int, hard: int, effective: int
) -> None:
    settings = RouterSettings(routes="-", max_connections=wanted, workers=workers)

    assert connections_within(settings, hard) == effective


@pytest.mark.parametrize(("wanted", "level"), [(None, "INFO"), (19_999, "WARNING")])
def test_only_who_asked_for_more_is_warned(
    wanted: int | None,
    level: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    caplog.set_level("INFO", "turnout.router")
    given = {"max_connections": wanted} if wanted is not None else {}
    settings = RouterSettings(routes="-", workers=1, **given)
    assert fitted(settings).max_connections < 1024
    assert [r.levelname for r in caplog.records] == [level]


@contextmanager
def few_descriptors(n: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_last_descriptors_are_no_new_clients() -> None:
    with few_descriptors(1000):
        assert last_for_clients() == 968


async def test_a_client_that_gets_one_of_the_last_descriptors_is_told_so() -> None:
    """Connections to replicas may have taken the others, which no limit on clients counts."""
    async with Origin() as origin:
        app = an_app(a_revision("v1", 100, endpoints=[origin.address]))
        async with running(app) as live:
            live.edge.clients._last_descriptor = 2.0
            answer = await live.exchange(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")

            assert b" 503 " in answer
            assert b"TooManyConnections" in answer
            assert live.edge.stats.accept_errors == {"descriptors": 1, "unanswered": 0}
            assert not live.edge.clients
