"""What the edge makes of a request's head; the wire behaviour is in test_proxy.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.contract import outcomes
from router.contract.outcomes import Outcome
from router.http.fields import TRUSTED_ONLY, allowed_in_trailer, believe_only_proxies
from router.http.request_head import Ingress, RequestHead, prefers_json
from tests.support.heads import read_request

PLAIN = Ingress(
    forwarded=b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n",
    peer=b"1.2.3.4",
    is_trusted=False,
)
TRUSTED = Ingress(forwarded=PLAIN.forwarded, peer=b"1.2.3.4", is_trusted=True)


def read(
    *fields: tuple[bytes, bytes],
    method: bytes = b"GET",
    target: bytes = b"/",
    version: bytes = b"1.1",
    host: bytes | None = b"shop.localhost",
    ingress: Ingress = PLAIN,
) -> RequestHead | Outcome:
    given = [(b"Host", host), *fields] if host is not None else list(fields)
    return read_request(method, target, version, given, ingress, b"new-id")


def accepted(*fields: tuple[bytes, bytes], **given: object) -> RequestHead:
    head = read(*fields, **given)  # type: ignore[arg-type]
    assert isinstance(head, RequestHead), head
    return head


def refused(*fields: tuple[bytes, bytes], **given: object) -> Outcome:
    outcome = read(*fields, **given)  # type: ignore[arg-type]
    assert isinstance(outcome, Outcome), outcome
    return outcome


def test_a_head_is_sent_on_with_what_the_edge_adds() -> None:
    head = accepted((b"Accept", b"*/*"), (b"X-Request-Id", b"abc"))

    assert head.wire == (
        b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nAccept: */*\r\n"
        + PLAIN.forwarded
        + b"X-Forwarded-Host: shop.localhost\r\nX-Request-Id: abc\r\nVia: 1.1 turnout\r\n\r\n"
    )


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"+5")],
        [(b"Content-Length", b"-5")],
        [(b"Content-Length", b"5, 5")],
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"5"), (b"Content-Length", b"5")],
        [(b"Content-Length", b"99999999999999999999")],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"chunked, gzip")],
        [(b"Transfer-Encoding", b"chunked, chunked")],
        [(b"Transfer-Encoding", b"xchunked")],
        [(b"Transfer-Encoding", b"")],
        [(b"Transfer-Encoding", b"\x0bchunked")],
        [(b"Host", b"other.localhost")],
    ],
)
def test_ambiguous_framing_and_routing_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    assert refused(*fields, method=b"POST").status == 400


def test_http10_has_no_transfer_encoding() -> None:
    assert refused((b"Transfer-Encoding", b"chunked"), version=b"1.0").status == 400


def test_an_unknown_coding_is_not_implemented() -> None:
    assert refused((b"Transfer-Encoding", b"gzip, chunked")) is outcomes.CODING_UNKNOWN


@pytest.mark.parametrize("host", [None, b"", b"a b", b"u@h", b"a/b"])
def test_a_request_without_one_good_host_is_refused(host: bytes | None) -> None:
    assert refused(host=host).status == 400


def test_the_host_of_an_absolute_target_counts() -> None:
    head = accepted(target=b"http://Shop.localhost:8080/a?b=1", host=b"evil.localhost")

    assert head.host_key == b"shop.localhost"
    assert head.wire.startswith(b"GET /a?b=1 HTTP/1.1\r\nHost: Shop.localhost:8080\r\n")


@pytest.mark.parametrize(
    "target", [b"http://u:p@shop.localhost/", b"ftp://shop/", b"shop.localhost:80", b"*", b"/#x"]
)
def test_bad_targets_are_refused(target: bytes) -> None:
    assert refused(target=target).status == 400


def test_options_star_is_passed_on() -> None:
    assert accepted(method=b"OPTIONS", target=b"*").wire.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_max_forwards_is_counted_down_and_ends_at_zero() -> None:
    counted = accepted((b"Max-Forwards", b"3"), method=b"OPTIONS")

    assert b"Max-Forwards: 2\r\n" in counted.wire
    reached = refused((b"Max-Forwards", b"0"), method=b"OPTIONS")
    assert reached is outcomes.MAX_FORWARDS_REACHED


def test_fields_that_connection_names_are_removed_but_not_those_that_route_or_frame() -> None:
    head = accepted(
        (b"Connection", b"close, X-Secret, Host, Content-Length, X-Request-Id, Authorization"),
        (b"X-Secret", b"1"),
        (b"Authorization", b"Basic x"),
        (b"Content-Length", b"3"),
        method=b"POST",
    )

    assert b"X-Secret" not in head.wire
    assert b"Authorization: Basic x" in head.wire
    assert b"Content-Length: 3" in head.wire
    assert not head.keeps_alive


def test_hop_by_hop_fields_are_consumed() -> None:
    head = accepted(
        (b"Keep-Alive", b"x"),
        (b"TE", b"trailers"),
        (b"Proxy-Connection", b"x"),
        (b"Proxy-Authorization", b"x"),
    )

    for name in (b"Keep-Alive", b"TE:", b"Proxy-"):
        assert name not in head.wire


def test_what_the_client_says_of_itself_is_replaced() -> None:
    head = accepted(
        (b"X-Forwarded-For", b"6.6.6.6"),
        (b"X-Forwarded-Proto", b"https"),
        (b"Forwarded", b"for=6.6.6.6"),
        (b"X_Forwarded_For", b"6.6.6.6"),
        (b"X-Turnout-Revision", b"evil"),
        (b"x_turnout_revision", b"evil"),
        (b"Proxy", b"evil"),
    )

    assert b"6.6.6.6" not in head.wire
    assert b"evil" not in head.wire
    assert b"https" not in head.wire


def test_a_trusted_proxy_is_believed_and_appended() -> None:
    head = accepted(
        (b"X-Forwarded-For", b"6.6.6.6"),
        (b"X-Forwarded-Proto", b"https"),
        ingress=TRUSTED,
    )

    assert b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n" in head.wire
    assert b"X-Forwarded-Proto: https\r\n" in head.wire
    assert head.wire.count(b"X-Forwarded-Proto") == 1


CLAIMS = [
    b"X-Real-IP", b"x-client-ip", b"X-ORIGINAL-URL", b"X-Rewrite-URL", b"X-MS-CLIENT-PRINCIPAL",
    b"X-MS-CLIENT-PRINCIPAL-ID", b"X-Ms-Client-Principal-Name",
]  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_what_only_a_proxy_can_know_passes_from_a_proxy_only(name: bytes) -> None:
    field, twin = (name, b"evil"), (name.replace(b"-", b"_"), b"evil")

    assert b"evil" not in accepted(field, twin).wire
    assert b"evil" not in accepted(field, (b"Connection", name)).wire
    assert b"evil" not in accepted(twin, ingress=TRUSTED).wire
    assert name + b": evil\r\n" in accepted(field, ingress=TRUSTED).wire
    assert name + b": evil\r\n" in accepted(field, (b"Connection", name), ingress=TRUSTED).wire
    assert not allowed_in_trailer(name)


@pytest.mark.parametrize("name", [b"X-Real-IP-2", b"X-Original", b"X-MS-Client", b"Real-IP"])
def test_fields_of_similar_names_pass(name: bytes) -> None:
    assert name + b": x\r\n" in accepted((name, b"x")).wire


@pytest.fixture
def tenants_told_by_proxies() -> Iterator[None]:
    believe_only_proxies(["X-Tenant", "X-User-*"])
    yield
    believe_only_proxies(TRUSTED_ONLY)


@pytest.mark.usefixtures("tenants_told_by_proxies")
def test_a_setting_names_the_fields_that_only_proxies_may_send() -> None:
    told = [(b"x-tenant", b"a"), (b"X-USER-id", b"b")]
    others = [(b"X-Users", b"c"), (b"X-Real-IP", b"d")]
    head = accepted(*told, (b"X_User_Name", b"e"), *others)

    assert b"x-tenant: a\r\n" not in head.wire
    assert b"X-USER-id: b\r\n" not in head.wire
    assert b"X_User_Name" not in head.wire
    assert b"X-Users: c\r\nX-Real-IP: d\r\n" in head.wire
    assert b"x-tenant: a\r\nX-USER-id: b\r\n" in accepted(*told, ingress=TRUSTED).wire


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"a\xffb"])
def test_a_request_id_that_is_not_sane_is_replaced(given: bytes) -> None:
    assert accepted((b"X-Request-Id", given)).request_id == b"new-id"


def test_websocket_upgrades_pass_and_h2c_does_not() -> None:
    ws = accepted((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
    h2c = accepted((b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"))

    assert ws.upgrade == b"websocket"
    assert ws.wire.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert not h2c.upgrade
    assert b"h2c" not in h2c.wire


def test_expectations_other_than_continue_fail() -> None:
    assert refused((b"Expect", b"magic")) is outcomes.EXPECTATION_FAILED
    assert accepted((b"Expect", b"magic"), version=b"1.0")


def test_too_much_is_refused_with_its_own_status() -> None:
    assert refused(target=b"/" + b"a" * 9000) is outcomes.URI_TOO_LONG
    assert refused(*[(b"X", b"y")] * 101) is outcomes.TOO_MANY_FIELDS


@pytest.mark.parametrize(
    ("accept", "expected"),
    [(b"application/json", True), (b"text/html, application/json", False), (b"*/*", False)],
)
def test_json_is_for_who_prefers_it(accept: bytes, expected: bool) -> None:
    assert prefers_json(b"\r\nAccept: %b\r\n\r\n" % accept) is expected
