"""Where endpoint: replicas may be."""

from __future__ import annotations

import pytest

from control.model.errors import Invalid
from control.model.targets import PRIVATE, Targets
from control.runtime.endpoint import EndpointRuntime
from router.process.addresses import is_misled
from router.process.config import BadSettings
from tests.support.builders import a_body

ANYWHERE = Targets(["0.0.0.0/0", "::/0"])
NEVER = [
    "169.254.169.254", "169.254.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1",
    "100.100.100.200", "168.63.129.16", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "::", "ff02::1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
]  # fmt: skip


@pytest.mark.parametrize("host", NEVER)
def test_link_local_and_metadata_addresses_are_refused_however_they_are_written(host: str) -> None:
    for targets in (ANYWHERE, Targets(PRIVATE)):
        assert "never an endpoint" in targets.refusal(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "172.16.0.9", "192.168.1.1", "::1",
                                  "fd12::1", "::ffff:10.0.0.1", "127.1"])  # fmt: skip
def test_loopback_and_private_networks_are_allowed_by_default(host: str) -> None:
    assert Targets(PRIVATE).refusal(host) == ""


@pytest.mark.parametrize("host", ["8.8.8.8", "172.32.0.1", "2001:4860::1", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed_only_when_they_are_listed(host: str) -> None:
    assert "endpoint_networks" in Targets(PRIVATE).refusal(host)
    assert ANYWHERE.refusal(host) == ""


def test_a_name_is_not_judged_before_it_is_looked_up() -> None:
    assert Targets(PRIVATE).refusal("metadata.google.internal") == ""


@pytest.mark.parametrize("host", ["x" * 64, "a." + "x" * 64 + ".b"])
def test_a_name_that_cannot_be_looked_up_is_no_endpoint(host: str) -> None:
    runtime = EndpointRuntime(Targets(PRIVATE))
    with pytest.raises(Invalid, match="no host name"):
        runtime.check(a_body(image=f"endpoint:{host}:80").template)
    for good in ("x" * 63, "a.b.", "a-b.example", "[::1]"):
        runtime.check(a_body(image=f"endpoint:{good}:80").template)


def test_a_list_that_is_not_of_networks_is_a_bad_setting() -> None:
    with pytest.raises(BadSettings, match=r"endpoint_networks: .*CIDR"):
        Targets(["10.0.0.1/8"])


@pytest.mark.parametrize(
    ("peer", "is_bad"),
    [
        (("169.254.169.254", 80), True),
        (("::ffff:169.254.169.254", 80, 0, 0), True),
        (("fe80::1%eth0", 80, 0, 2), True),
        (("10.0.0.1", 80), False),
        (None, False),  # it has gone already
    ],
)
def test_a_router_notices_where_a_name_has_led_it(
    peer: tuple[object, ...] | None, is_bad: bool
) -> None:
    assert is_misled(peer) is is_bad
