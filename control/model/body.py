"""What every body of the API has in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

T = TypeVar("T")
_words: dict[str, str] = {}  # by pattern: what its texts look like


def shaped(pattern: str, words: str, **bounds: Any) -> Any:
    """The Field of a text; `words` tells whoever writes another one what it looks like."""
    _words[pattern] = words
    return Field(pattern=pattern, **bounds)


def words_for(pattern: str) -> str:
    """What the texts of a pattern of `shaped` look like."""
    return _words[pattern]


class Model(BaseModel):
    """camelCase on the wire, frozen, no unknown keys: a mistyped key is no silent failure."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    def wire(self) -> dict[str, Any]:
        """As JSON-ready values; unset optional fields are left out, as az expects."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _none_to_empty(value: Any) -> Any:
    return [] if value is None else value


def lower(value: Any) -> Any:
    """Strings in lower case: names and enumerations are read in any."""
    return value.lower() if isinstance(value, str) else value


Many = Annotated[tuple[T, ...], BeforeValidator(_none_to_empty)]
"""A list on the wire; null is an empty one, as az sends it."""
