"""`@EXPLICIT` files: one platform's conda packages as URLs with their hashes, for conda, mamba and micromamba."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter

from nomic_scaffold.models.lock import LockedPackage, LockRecord

_LINE = re.compile(r"^(?P<url>[^#\s]+)#(?:sha256:)?(?P<hash>[0-9a-f]{64}|[0-9a-f]{32})$")


def render(packages: Sequence[LockedPackage], record: LockRecord, *, source: str, sha256: bool) -> str:
    """Write the file: conda packages in the order of installing, with md5 or sha256; PyPI files as conda-lock does.

    Every tool reads md5. `#sha256:` is worth more: conda reads it from 24.9 on (conda/conda#14048), as rattler does.
    """
    conda = tuple(package for package in packages if package.manager == "conda")
    pip = sorted((package for package in packages if package.manager == "pip"), key=lambda package: package.name)
    rows = [
        f"# Made by: nomic-scaffold lock, from {source}.  Don't edit.",
        f"# platform: {record.platform}",
        f"# inputs: sha256:{record.digest}",
        f"# packages: sha256:{record.packages}",
        "@EXPLICIT",
        *(f"{package.url}#{f'sha256:{package.sha256}' if sha256 else package.md5}" for package in _ordered(conda)),
        *(f"# pip {package.name} @ {package.url}#sha256={package.sha256}" for package in pip),
    ]
    return "".join(f"{row}\n" for row in rows)


def parse(text: str) -> tuple[tuple[str, str], ...] | None:
    """Read URLs and hashes of the conda packages, in order; None when the text is no `@EXPLICIT` file."""
    rows = [row.strip() for row in text.splitlines()]
    if "@EXPLICIT" not in rows:
        return None
    found = [_LINE.match(row) for row in rows if row and not row.startswith(("#", "@"))]
    if any(match is None for match in found):
        return None
    return tuple((match["url"], match["hash"]) for match in found if match)


def made_from(text: str) -> tuple[str, str] | None:
    """Read from the head of a file of this tool the digests of the lock's inputs and packages; None without them."""
    match = re.search(r"(?m)^# inputs: sha256:([0-9a-f]{64})\n# packages: sha256:([0-9a-f]{64})$", text[:1000])
    return (match[1], match[2]) if match else None


@lru_cache(maxsize=1)
def _ordered(packages: tuple[LockedPackage, ...]) -> list[LockedPackage]:
    """Put dependencies before what needs them, by name where that leaves a choice; cycles stay together."""
    by_name = {package.name: package for package in sorted(packages, key=lambda package: package.name)}
    wants = {
        name: {depend.partition(" ")[0] for depend in package.depends} & by_name.keys() - {name}
        for name, package in by_name.items()
    }
    # The one cycle of conda: pip needs python, and older pythons pip.
    wants.get("python", set()).discard("pip")
    sorter = TopologicalSorter(wants)
    try:
        sorter.prepare()
    except CycleError:
        return list(by_name.values())
    ordered: list[LockedPackage] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [by_name[name] for name in ready]
        sorter.done(*ready)
    return ordered
