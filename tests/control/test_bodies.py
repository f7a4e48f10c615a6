"""Bodies and headers that nobody sends in good faith: refused with a sentence, at a small cost."""

from __future__ import annotations

from typing import Any

import pytest

from control.api.wire.caller import as_text
from control.api.wire.depth import MAX_DEPTH, is_deep
from control.api.wire.problems import MAX_DETAILS, decode, decoded
from control.model.errors import Invalid
from control.model.schema import AppBody
from control.model.template import Template


def nested(depth: int, opening: str, closing: str) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


SHAPES = [("[", "]"), ('{"a":', "}"), ('[{"template":', "}]")]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 990, 1023, 5000, 100_000])
def test_deep_json_is_refused(shape: tuple[str, str], depth: int) -> None:
    with pytest.raises(Invalid, match="nested") as caught:
        decoded(nested(depth, *shape))
    assert caught.value.details[0].code == "InvalidRequestContent"


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_what_people_write_is_not_deep(shape: tuple[str, str]) -> None:
    assert decoded(nested(MAX_DEPTH, *shape))


def test_deep_places_are_found_wherever_they_are() -> None:
    deep = nested(MAX_DEPTH, "[", "]").decode()
    with pytest.raises(Invalid, match="nested"):
        decoded(f'{{"a": 1, "b": [{{}}, [[1], {deep}]], "c": {{}}}}'.encode())


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nothing", b"[1,]", b'"\\ud800"', b'"\xff"', b"NaN", b"\xef\xbb\xbf{}"]
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid, match="is not valid JSON"):
        decoded(raw)


def test_of_many_mistakes_some_are_told() -> None:
    wrong: dict[str, Any] = {f"key{n}": n for n in range(20_000)}
    with pytest.raises(Invalid) as caught:
        decode(AppBody, wrong)
    assert len(caught.value.details) == MAX_DETAILS
    assert len(caught.value.message) < 20_000
    assert "and 19902 more" in caught.value.message


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"caf\xe9", "caf\ufffd"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"a\x07b\x1b[31m", "a\ufffdb\ufffd[31m"),
        ("ü".encode(), "ü"),
        (b'"3"', '"3"'),
    ],
)
def test_headers_in_any_encoding_are_recorded_as_text(raw: bytes, text: str) -> None:
    assert as_text(raw.decode("utf-8", "surrogateescape")) == text


def test_values_that_hold_themselves_or_multiply_are_deep() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    bomb: list[Any] = ["x"] * 10
    for _ in range(20):
        bomb = [bomb] * 10
    assert is_deep(cycle)
    assert is_deep(bomb)


def test_a_body_with_a_rule_broken_everywhere_is_refused_without_naming_each_place() -> None:
    with pytest.raises(Invalid, match="too many values"):
        decoded(b'{"template":{"containers":[' + b"0," * 400_000 + b"0]}}")
    wide = decoded(b'{"template":{"containers":[' + b"0," * 40_000 + b"0]}}")
    with pytest.raises(Invalid, match="breaks a rule in 40002 places"):
        decode(AppBody, wide)


class Name(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.comparisons += 1
        return super().__eq__(other)


def test_names_of_containers_are_not_compared_each_with_each() -> None:
    """30,000 containers in a body of 866 kB held up every caller for 15 s."""
    one = Template.model_validate({"containers": [{"name": "a", "image": "b"}]})
    names = [Name(f"a{n}") for n in range(1000)]
    containers = tuple(one.containers[0].model_copy(update={"name": name}) for name in names)
    many = one.model_copy(update={"containers": containers})
    Name.comparisons = 0
    many._names_fit()  # type: ignore[operator] # a validator, and a method all the same
    assert Name.comparisons < len(names)
