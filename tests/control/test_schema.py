"""What is accepted in a body, and that every wrong field is named at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from control.api.wire.bodies import merge_patch
from control.api.wire.problems import decode
from control.model.errors import Invalid
from control.model.schema import AppBody, TrafficRule
from control.model.template import Probe
from control.runtime.docker import DockerRuntime
from control.runtime.process import ProcessRuntime
from control.settings import ControlSettings


def body(**template: Any) -> dict[str, Any]:
    return {"template": {"containers": [{"image": "process:demo"}], **template}}


def test_every_wrong_field_is_named() -> None:
    wrong = body(scale={"minReplicas": -1}, terminationGracePeriodSeconds="long", typo=1)

    with pytest.raises(Invalid) as caught:
        decode(AppBody, wrong)

    assert {d.target for d in caught.value.details} == {
        "template.scale.minReplicas",
        "template.terminationGracePeriodSeconds",
        "template.typo",
    }


@pytest.mark.parametrize("mode", ["single", "Single", "MULTIPLE"])
def test_modes_are_read_in_any_case_and_shown_capitalised(mode: str) -> None:
    app = decode(AppBody, body() | {"configuration": {"activeRevisionsMode": mode}})

    assert app.configuration.wire()["activeRevisionsMode"] == mode.capitalize()


@pytest.mark.parametrize(("given", "read"), [(80, 80), ("80", 80), (None, 0)])
def test_weights_are_numbers_or_decimal_strings(given: object, read: int) -> None:
    assert TrafficRule.model_validate({"revisionName": "a--b", "weight": given}).weight == read


@pytest.mark.parametrize("given", [True, 1.0, -1, 101, " 80", "8e1", "-5", "\u0668"])
def test_other_weights_are_refused(given: object) -> None:
    with pytest.raises(ValueError):
        TrafficRule.model_validate({"revisionName": "a--b", "weight": given})


@pytest.mark.parametrize(
    "rule", [{}, {"revisionName": "a--b", "latestRevision": True}, {"latestRevision": False}]
)
def test_a_rule_names_exactly_one_target(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either revisionName or latestRevision"):
        TrafficRule.model_validate(rule)


def test_unset_fields_of_a_rule_are_absent_on_the_wire() -> None:
    rule = {"revisionName": "a--b", "latestRevision": False, "label": None, "weight": "5"}

    assert TrafficRule.model_validate(rule).wire() == {"revisionName": "a--b", "weight": 5}


@pytest.mark.parametrize(
    "probe",
    [
        {"type": "Readiness"},
        {"type": "Exec", "tcpSocket": {"port": 1}},
        {"type": "Readiness", "tcpSocket": {"port": 0}},
        {"type": "Readiness", "tcpSocket": {"port": "http"}},
        {"type": "Readiness", "tcpSocket": {"port": 1}, "httpGet": {"port": 1}},
        {"type": "Liveness", "tcpSocket": {"port": 1}, "successThreshold": 2},
        {"type": "Readiness", "tcpSocket": {"port": 1}, "periodSeconds": 0},
        {"type": "Readiness", "tcpSocket": {"port": 1}, "periodSeconds": 241},
        {"type": "Readiness", "tcpSocket": {"port": 1}, "timeoutSeconds": 0},
        {"type": "Readiness", "tcpSocket": {"port": 1}, "failureThreshold": 0},
        {"type": "Readiness", "httpGet": {"port": 1, "path": "no slash"}},
        {
            "type": "Readiness",
            "httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": ""}]},
        },
    ],
)
def test_probes_outside_the_contract_are_refused(probe: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Probe.model_validate(probe)


def test_a_container_has_one_probe_of_each_type() -> None:
    probe = {"type": "Readiness", "tcpSocket": {"port": 1}}

    with pytest.raises(Invalid, match="at most one probe of each type"):
        decode(AppBody, body(containers=[{"image": "x", "probes": [probe, probe]}]))


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize("field", ["command", "args"])
def test_a_word_that_no_program_can_be_given_is_refused(field: str, tmp_path: Path) -> None:
    bad = {"name": "bad", "image": "process:", "command": ["sh"], field: ["fine", "sleep\0"]}
    process = ProcessRuntime(tmp_path, "one", lambda *_: None)
    with pytest.raises(Invalid, match=rf"template.containers\[0\].{field}\[1\]: .*NUL"):
        process.check(decode(AppBody, body(containers=[bad])).template)

    docker = DockerRuntime(ControlSettings(), "one", lambda *_: None, lambda _: asyncio.sleep(0),
                           lambda *_: None)  # fmt: skip
    with pytest.raises(Invalid, match=rf"template.initContainers\[0\].{field}\[1\]: .*NUL"):
        docker.check(decode(AppBody, body(initContainers=[bad])).template)
