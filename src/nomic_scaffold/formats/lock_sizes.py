"""locks/sizes.json: bytes of every locked archive by its sha256; conda-lock's format has no place for them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from nomic_scaffold.models.lock import LockedPackage


def render(packages: Iterable[LockedPackage], known: dict[str, int]) -> str:
    """Write the sizes of `packages`, theirs first and else `known` ones; one line each, so that merges are easy."""
    sizes: dict[str, int] = {}
    for package in packages:
        if package.sha256:
            size = known.get(package.sha256) if package.size is None else package.size
            if size is not None:
                sizes[package.sha256] = size
    return _write(sizes)


def subset(text: str, kept: Iterable[str]) -> str:
    """Keep the sizes of some archives only, named by sha256; the same bytes as writing these alone."""
    known = parse(text)
    return _write({name: known[name] for name in kept if name in known})


def _write(sizes: dict[str, int]) -> str:
    rows = ",\n".join(f'  "{name}": {sizes[name]}' for name in sorted(sizes))
    return f'{{\n "made-by": "nomic-scaffold lock",\n "sizes": {{\n{rows}\n }}\n}}\n'


def parse(text: str) -> dict[str, int]:
    """Read the sizes; empty for a text that is not of this kind (a merge conflict, say): `lock` writes it anew."""
    try:
        sizes = json.loads(text)["sizes"]
        return {str(name): int(value) for name, value in sizes.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
