"""Lists in pages: nothing is shown twice or left out, whatever changes between two pages."""

from __future__ import annotations

import pytest

from control.api.wire.paging import DEFAULT, MOST, Window, cut
from control.model.errors import Invalid


def walk(items: list[str], limit: int) -> list[list[str]]:
    pages, after = [], ""
    while True:
        page, after = cut(items, lambda item: item, Window(limit, after))
        pages.append(page)
        if not after:
            return pages


@pytest.mark.parametrize(
    ("n", "limit", "sizes"),
    [(0, 2, [0]), (1, 2, [1]), (2, 2, [2]), (3, 2, [2, 1]), (4, 2, [2, 2]), (5, 9, [5])],
)
def test_pages_have_everything_once(n: int, limit: int, sizes: list[int]) -> None:
    items = [f"app{i}" for i in range(n)]
    pages = walk(items, limit)
    assert [len(page) for page in pages] == sizes
    assert [item for page in pages for item in page] == items


def test_what_comes_and_goes_between_two_pages_moves_nothing_else() -> None:
    first, after = cut(["b", "d", "f", "h"], str, Window(2, ""))
    rest, _ = cut(["a", "c", "e", "f", "h"], str, Window(9, after))  # d is gone, a, c and e are new
    assert (first, rest) == (["b", "d"], ["e", "f", "h"])


@pytest.mark.parametrize(
    ("given", "window"),
    [
        ({}, Window(DEFAULT, "")),
        ({"limit": "7", "after": "shop"}, Window(7, "shop")),
        ({"limit": "99999999"}, Window(MOST, "")),
        ({"limit": "9" * 5000}, Window(MOST, "")),
    ],
)
def test_a_window_is_read_from_the_query(given: dict[str, str], window: Window) -> None:
    assert Window.of(given) == window


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "\u0661", ""])
def test_what_is_no_size_is_refused(limit: str) -> None:
    with pytest.raises(Invalid, match="limit"):
        Window.of({"limit": limit})


def test_azures_words_are_read_in_any_case_and_a_token_comes_back_as_it_went() -> None:
    token = Window(5, "shop/ü").token
    assert token.isascii()
    assert "=" not in token
    assert Window.of_arm({"$top": "5", "$skiptoken": token}) == Window(5, "shop/ü")
    assert Window.of_arm({"$TOP": "5", "$skipToken": token}) == Window(5, "shop/ü")


@pytest.mark.parametrize("token", ["%", "é", "A", "_w", "x" * 5000])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Invalid, match="skipToken"):
        Window.of_arm({"$skipToken": token})
