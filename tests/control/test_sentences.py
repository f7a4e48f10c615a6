"""What is wrong with a body is said in words for people, whatever is wrong with it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.secrets import SecretsBody
from control.api.wire.problems import decode
from control.model.errors import Invalid
from control.model.schema import AppBody

PYDANTIC = re.compile(
    r"should |valid (integer|string|number)|unable to parse|pattern|pydantic|Field required|\^|\\z"
    r"|Extra inputs|Input |this is no value"
)


def an_app(**container: Any) -> dict[str, Any]:
    return {"template": {"containers": [{"image": "x", **container}]}}


def refusal(model: Any, body: Any) -> str:
    with pytest.raises(Invalid) as caught:
        decode(model, body)
    return caught.value.message


CASES = [
    (an_app(resources={"memory": "512M"}),
     "containers[0].resources.memory: write a number with Ki, Mi or Gi, such as 512Mi or 0.5Gi"),
    (an_app(resources={"cpu": "much"}), "resources.cpu: write a number"),
    (an_app(resources={"cpu": 0}), "resources.cpu: write more than 0"),
    (an_app(name="My App"), "containers[0].name: write a name in a-z, 0-9 and -, such as main"),
    (an_app(imgae="x"), "[0].imgae is not known here; leave it out, or mend its spelling"),
    ({}, "template is missing"),
    ({"template": {"containers": []}}, "template.containers: give at least 1"),
    ({"template": {"containers": "nginx"}}, "template.containers: write a list"),
    ({"template": "nginx"}, "template: write an object"),
    (an_app() | {"configuration": {"activeRevisionsMode": "many"}},
     "activeRevisionsMode: write 'single', 'multiple' or 'labels'"),
    (an_app() | {"configuration": {"ingress": {"targetPort": "eighty"}}},
     "ingress.targetPort: write a whole number"),
    (an_app() | {"configuration": {"ingress": {"targetPort": 70000}}},
     "ingress.targetPort: write at most 65535"),
    (an_app() | {"configuration": {"ingress": {"external": "maybe"}}}, "write true or false"),
    (an_app(probes=[{"type": "Startup", "httpGet": {"path": "healthz", "port": 80}}]),
     "httpGet.path: write a path such as /healthz"),
    (an_app() | {"configuration": {"ingress": {"traffic": [{"weight": 101, "revisionName": "x"}]}}},
     "traffic[0].weight: write at most 100"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "sentence"), CASES)
def test_a_mistake_is_said_in_words(body: dict[str, Any], sentence: str) -> None:
    message = refusal(AppBody, body)
    assert sentence in message
    assert not PYDANTIC.search(message)


def test_a_list_of_wrong_items_is_not_called_empty() -> None:
    message = refusal(AppBody, an_app(resources={"memory": "512M"}))
    assert "at least" not in message


def test_a_secrets_name_says_what_it_looks_like_and_hides_the_value() -> None:
    message = refusal(SecretsBody, {"secrets": [{"name": "DB", "value": "hunter2"}]})
    assert "secrets[0].name: write a secret's name in a-z, 0-9, - and ., such as db" in message
    assert "hunter2" not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "value", "image", "type", "port"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
PLACES = ["image", "command", "args", "env", "resources", "volumeMounts", "probes", "name"]


def said(body: dict[str, Any]) -> str:
    try:
        decode(AppBody, body)
    except Invalid as error:
        return error.message
    return ""


@given(st.sampled_from(PLACES), json_values)
def test_no_value_brings_up_the_validators_own_words(place: str, value: Any) -> None:
    assert not PYDANTIC.search(said(an_app(**{place: value})))


@given(json_values, st.sampled_from(["ingress", "secrets", "registries", "dapr", "targetLabel"]))
def test_nor_does_one_of_the_configuration(value: Any, place: str) -> None:
    assert not PYDANTIC.search(said(an_app() | {"configuration": {place: value}}))
