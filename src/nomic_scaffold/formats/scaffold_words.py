"""Say in plain words what is wrong with a value of scaffold.toml."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

WANTED = {
    "sha256": "64 hexadecimal digits, in lower case",
    "revision": "the 40 hexadecimal digits of a commit, in lower case",
    "languages": "ISO 639 codes in lower case, such as en or zh",
    "package": "a name that Python can import: lower-case letters, digits and _",
    "python": "a minor version, such as 3.13",
    "file": "a file name, without folders",
    "schema": "1",
}
"""Key -> what it must be."""
KINDS = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "too_short": "a list that is not empty",
}
"""pydantic's type of error -> what the value must be: docs.pydantic.dev/latest/errors/validation_errors."""
LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def told(error: Mapping[str, Any], *, known: Iterable[str]) -> str:
    """Give `key: what it must be, not what it is` for one of pydantic's errors; `known` are the keys of its table."""
    keys = [str(part) for part in error["loc"] if part != "[key]"]
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    where = ".".join(keys)
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], list(known), n=1)
        return f"{where} is no key of scaffold.toml" + (f"; did you mean {close[0]}?" if close else "")
    if kind in LIMITS:
        name, words = LIMITS[kind]
        return f"{where} must be {words} {context[name]}, not {value!r}"
    named = next((key for key in reversed(keys) if key in WANTED), None)
    wanted = KINDS.get(kind) or (WANTED[named] if named else f"one of {context.get('expected', error['msg'])}")
    return f"{where} must be {wanted}, not {value!r}"
