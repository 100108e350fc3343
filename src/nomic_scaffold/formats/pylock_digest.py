"""What a pylock.toml was made from, in a module that loads fast: `lock --check` has 0.3 s."""

from __future__ import annotations

import hashlib
import json
import re

TABLE = "\n[tool.nomic-scaffold]\n"
"""Starts what a pylock.toml of this tool says of itself."""
_CONFLICT = re.compile(r"(?m)^(?:<{7}|>{7}) ")


def inputs_digest(requirements: tuple[str, ...], python: str) -> str:
    """Digest what a lock is made from, so that a stale lock is known without a solve; sha256, lower-case hex."""
    inputs = {"requirements": sorted({line.strip() for line in requirements}), "python": python}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def names(text: str) -> frozenset[str]:
    """Read the names of the packages of a pylock.toml of this tool."""
    return frozenset(re.findall(r'(?m)^name = "([^"]+)"$', text))


def cutoff(text: str) -> str | None:
    """Read the last day whose files were looked at, if one was given: `2026-08-01`."""
    match = re.search(r'(?m)^exclude-newer = "([0-9-]+)"$', text)
    return match[1] if match else None


def body_digest(body: str) -> str:
    """Hash what stands before the table that this digest is written into; sha256, lower-case hex."""
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def altered(text: str) -> bool:
    """Say whether a pylock.toml was edited since it was made, or holds a merge conflict."""
    body, _, table = text.partition(TABLE)
    match = re.search(r'(?m)^body-digest = "([0-9a-f]{64})"$', table)
    return bool(_CONFLICT.search(text)) or (match is not None and match[1] != body_digest(body))


def recorded(text: str) -> str | None:
    """Read the digest that a pylock.toml of this tool carries; None when there is none."""
    match = re.search(r'(?m)^inputs-digest = "([0-9a-f]{64})"$', text)
    return match[1] if match else None
