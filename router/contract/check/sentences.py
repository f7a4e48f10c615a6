"""Says what is wrong with a value; the validator's own messages are for programmers. Pure."""

from __future__ import annotations

from typing import Any

# Keyed by pydantic's error type; names in braces are filled from the error's context.
_SENTENCES = {
    "missing": "is missing",
    "string_type": "write a text",
    "string_too_short": "write at least {min_length} characters",
    "string_too_long": "write at most {max_length} characters",
    "string_unicode": "write a text in UTF-8",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_parsing_size": "write a smaller number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a finite number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "greater_than": "write more than {gt}",
    "greater_than_equal": "write at least {ge}",
    "less_than": "write less than {lt}",
    "less_than_equal": "write at most {le}",
    "literal_error": "write {expected}",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "tuple_type": "write a list",
    "list_type": "write a list",
    "dict_type": "write an object",
    "model_type": "write an object",
    "model_attributes_type": "write an object",
}


def what_is_wrong(error: Any) -> str:
    """A sentence that says how to mend the value; the caller adds the value's path."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    return _SENTENCES.get(error["type"], "this is no value for it").format(**context)
