"""What a pylock.toml was made from, in a module that loads fast: `lock --check` has 0.3 s."""

from __future__ import annotations

import hashlib
import json
import re


def inputs_digest(requirements: tuple[str, ...], python: str) -> str:
    """Digest what a lock is made from, so that a stale lock is known without a solve; sha256, lower-case hex."""
    inputs = {"requirements": sorted({line.strip() for line in requirements}), "python": python}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def recorded(text: str) -> str | None:
    """Read the digest that a pylock.toml of this tool carries; None when there is none."""
    match = re.search(r'(?m)^inputs-digest = "([0-9a-f]{64})"$', text)
    return match[1] if match else None
