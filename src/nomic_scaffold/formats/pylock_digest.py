"""What a pylock.toml was made from, in a module that loads fast: `lock --check` has 0.3 s."""

from __future__ import annotations

import hashlib
import json
import re


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


def recorded(text: str) -> str | None:
    """Read the digest that a pylock.toml of this tool carries; None when there is none."""
    match = re.search(r'(?m)^inputs-digest = "([0-9a-f]{64})"$', text)
    return match[1] if match else None
