"""What every body of the API has in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

T = TypeVar("T")


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
