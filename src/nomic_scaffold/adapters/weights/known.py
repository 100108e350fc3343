"""The manifests that ship with the tool."""

from __future__ import annotations

from functools import cache

from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.formats import manifest
from nomic_scaffold.models.weights import Manifest


@cache
def read_manifests() -> tuple[Manifest, ...]:
    """Read every shipped manifest."""
    return tuple(
        manifest.parse(path.read_text(encoding="utf-8"), path=path.name)
        for path in sorted(shipped("manifests").glob("*.toml"))
    )


def known_files() -> dict[str, str]:
    """Give sha256 -> plain words, e.g. `the official Q8_0 GGUF file`, for every file that a manifest names."""
    return {file.sha256: file.what for one in read_manifests() for file in one.files}
