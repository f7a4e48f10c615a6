"""Who may use an admin port: the rules as tables."""

from __future__ import annotations

import pytest

from router.process import door

KNOWN = {"admin.example.com", "10.0.0.5"}
HERE = "127.0.0.1:8081"


@pytest.mark.parametrize(
    "fields",
    [
        [HERE], ["127.0.0.1"], ["127.9.9.9:1"], ["localhost:8081"], ["LOCALHOST"], ["localhost."],
        ["[::1]:8081"], ["admin.example.com"], ["Admin.Example.com:443"], ["10.0.0.5:8081"],
        ["192.168.7.7:8081"],
    ],
)  # fmt: skip
def test_loopback_the_port_itself_and_listed_names_are_this_host(fields: list[str]) -> None:
    assert door.is_known_host(fields, KNOWN, "192.168.7.7")


@pytest.mark.parametrize(
    "fields",
    [
        [], [""], ["evil.example"], ["evil.example:8081"], ["localhost.evil.example"],
        ["127.0.0.1.evil.example"], ["127.0.0.1@evil.example"], ["evil.example#127.0.0.1"],
        ["sub.admin.example.com"], ["app.localhost"], ["10.0.0.6"], ["[::1"], ["::1"],
        ["127.0.0.1:x"], ["localhost", "localhost"], [HERE, "evil.example"], ["2130706433"],
        ["0x7f.1"], ["0.0.0.0"],
    ],
)  # fmt: skip
def test_every_other_host_is_not(fields: list[str]) -> None:
    assert not door.is_known_host(fields, KNOWN, "192.168.7.7")


@pytest.mark.parametrize(
    ("origins", "sites", "is_foreign"),
    [
        ([], [], False),
        ([f"http://{HERE}"], [], False),
        ([f"HTTPS://{HERE}"], ["same-origin"], False),
        ([], ["none"], False),
        (["http://127.0.0.1:3000"], [], True),
        (["http://localhost:8081"], [], True),
        (["null"], [], True),
        ([""], [], True),
        ([f"http://{HERE}", "http://evil.example"], [], True),
        ([], ["cross-site"], True),
        ([], ["Cross-Site"], True),
        ([], ["same-site"], True),
        ([f"http://{HERE}"], ["same-site"], True),
        ([], ["same-origin", "cross-site"], True),
    ],
)
def test_pages_of_another_origin_are_foreign(
    origins: list[str], sites: list[str], is_foreign: bool
) -> None:
    assert door.is_foreign(HERE, origins, sites) is is_foreign


@pytest.mark.parametrize(
    ("given", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("application/vnd.api+json;v=1", True),
        ("", False),
        ("text/plain", False),
        ("text/plain; application/json", False),
        ("text/json", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("application/jsonp", False),
        ("application/json, text/plain", False),
    ],
)
def test_only_types_of_json_are_json(given: str, is_json: bool) -> None:
    assert door.is_json(given) is is_json


@pytest.mark.parametrize(
    ("role", "method", "path", "is_trial", "may"),
    [
        ("write", "DELETE", "/v1/apps/shop", False, True),
        ("write", "POST", "/v1/sync", False, True),
        ("read", "GET", "/v1/apps", False, True),
        ("read", "HEAD", "/subscriptions/s/resourcegroups/rg", False, True),
        ("read", "PUT", "/v1/apps/shop", False, False),
        ("read", "PUT", "/v1/apps/shop", True, True),
        ("read", "PATCH", "/v1/apps/shop", True, True),
        ("read", "POST", "/v1/apps/shop/listSecrets", True, False),
        ("read", "DELETE", "/v1/apps/shop", True, False),
        ("read", "PUT", "/subscriptions/s/resourcegroups/rg", True, False),
        ("read", "POST", "/v1/sync", False, False),
        ("router", "POST", "/v1/sync", False, True),
        ("router", "GET", "/v1/sync", False, False),
        ("router", "GET", "/v1/apps", False, False),
        ("router", "GET", "/table", False, False),
        ("router", "PUT", "/v1/apps/shop", True, False),
    ],
)
def test_each_role_may_what_it_is_for(
    role: str, method: str, path: str, is_trial: bool, may: bool
) -> None:
    assert door.may(role, method, path, is_trial=is_trial) is may


@pytest.mark.parametrize(
    ("field", "local", "is_same"),
    [
        ("10.0.0.5:1", "::ffff:10.0.0.5", True),
        ("[FD00:0::1]:1", "fd00::1", True),
        ("10.0.0.5:1", "::ffff:10.0.0.6", False),
        ("evil.example", "evil.example", False),  # a unix socket has no address
        ("x", "", False),
    ],
)
def test_its_own_address_is_known_however_it_is_written(
    field: str, local: str, is_same: bool
) -> None:
    assert door.is_known_host([field], set(), local) is is_same
