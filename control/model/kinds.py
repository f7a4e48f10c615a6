"""Kinds of values that records and bodies are made of, and the base of what clients send."""

from __future__ import annotations

from typing import Annotated, Any, NewType, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

# Names of different things are different types, since rules take three of them in a row and a
# swapped pair would otherwise go unnoticed.
AppName = NewType("AppName", str)
RevisionName = NewType("RevisionName", str)  # APP--SUFFIX
ReplicaName = NewType("ReplicaName", str)  # APP--SUFFIX-XXXXX
LabelName = NewType("LabelName", str)
NO_REVISION, NO_LABEL = RevisionName(""), LabelName("")
EVERY_APP = AppName("")  # where an app may be named but need not be

Moment = Annotated[float, Field(ge=0, le=253_402_300_799)]  # up to the last second of the year 9999
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
_PORT = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
Address = Annotated[str, Field(pattern=rf"^(.+:{_PORT})?$")]
RuntimeName = Annotated[str, Field(pattern="^(process|endpoint|docker)$")]

T = TypeVar("T")
N = TypeVar("N", bound=str)
_words: dict[str, str] = {}  # pattern to a description of its texts


def shaped(pattern: str, words: str, **bounds: Any) -> Any:
    """The pydantic Field of a text.

    `words` describes valid texts to a caller that sends another.
    """
    _words[pattern] = words
    return Field(pattern=pattern, **bounds)


def words_for(pattern: str) -> str:
    """The description of the texts that a pattern of `shaped` matches."""
    return _words[pattern]


class Model(BaseModel):
    """The base of bodies: camelCase on the wire, frozen.

    An unknown key is an error, not ignored.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # an input may be a secret
    )

    def wire(self) -> dict[str, Any]:
        """JSON-ready values; unset optional fields are left out, as az expects."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _none_to_empty(value: Any) -> Any:
    return [] if value is None else value


def lower(value: Any) -> Any:
    """Strings in lower case: names and enumerations are accepted in any case."""
    return value.lower() if isinstance(value, str) else value


def app_in(name: RevisionName | ReplicaName) -> AppName:
    """The app of a revision or replica, whose name begins with the app's."""
    return AppName(name.partition("--")[0])


def folded(name: N) -> N:
    """A name as it is stored; callers may write it in any case."""
    return cast(N, name.lower())


Many = Annotated[tuple[T, ...], BeforeValidator(_none_to_empty)]
"""A list on the wire; null is an empty one, as az sends it."""
