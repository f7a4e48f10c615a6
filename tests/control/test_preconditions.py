"""If-Match and If-None-Match as RFC 9110 §13.1 has them."""

from __future__ import annotations

import pytest

from control.preconditions import Conditions, is_known


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "version", "expected"),
    [
        # §13.1.1: true for `*` when there is a representation, else for a listed tag
        ("", "", None, True),
        ("*", "", 3, True),
        ("*", "", None, False),
        ('"3"', "", 3, True),
        ("3", "", 3, True),  # lenient: our own transactions write it bare
        ('"2"', "", 3, False),
        ('"3"', "", None, False),
        ('"2", "3"', "", 3, True),
        (' "2" ,\t"3" ', "", 3, True),
        ('"1","2"', "", 3, False),
        ('W/"3"', "", 3, False),  # strong comparison
        # §13.1.2: false for `*` when there is one, else for a listed tag
        ("", "*", None, True),
        ("", "*", 3, False),
        ("", '"3"', 3, False),
        ("", 'W/"3"', 3, False),  # weak comparison
        ("", '"2", W/"3"', 3, False),
        ("", '"2"', 3, True),
        ("", '"2"', None, True),
        # §13.2.2: both have to hold
        ('"3"', "*", 3, False),
        ("*", '"2"', 3, True),
    ],
)
def test_preconditions(
    if_match: str, if_none_match: str, version: int | None, expected: bool
) -> None:
    assert Conditions(if_match, if_none_match).hold(version) is expected


@pytest.mark.parametrize(
    ("if_none_match", "expected"), [("", False), ("*", True), ('"3"', True), ('"2"', False)]
)
def test_a_get_of_what_the_client_has_already_is_known(if_none_match: str, expected: bool) -> None:
    assert is_known(if_none_match, 3) is expected
