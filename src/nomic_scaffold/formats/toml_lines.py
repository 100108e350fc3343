"""Find the line of a key in a TOML text, which tomllib does not tell."""

from __future__ import annotations


def line_of(text: str, keys: list[str]) -> int | None:
    """Find the line (from 1) where the deepest of `keys` that is written stands; None if none is."""
    found, table = None, ""
    *tables, last = keys if len(keys) > 1 else ["", *keys]
    wanted = ".".join(tables)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.strip("[] ").replace('"', "")
            if table in (wanted, ".".join(keys)):
                found = found or number
        elif "=" in stripped and not stripped.startswith("#"):
            key = stripped.split("=", 1)[0].strip().strip('"')
            if (table == wanted and key == last) or (table and f"{table}.{key}" == wanted):
                return number
    return found
