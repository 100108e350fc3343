"""Look at what in a conda environment is for CUDA, without running it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*(?:None|['\"]([^'\"]*)['\"])", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Accelerated:
    """What an environment shows."""

    packages: tuple[str, ...]
    """Names of its conda packages."""
    modules: tuple[str, ...]
    """Names in site-packages."""
    torch_cuda: str | None
    """The CUDA version that torch was built for: empty for a CPU build, None without torch."""


def look(prefix: Path) -> Accelerated:
    """Look at the environment `prefix`."""
    names = (path.stem.rsplit("-", 2)[0] for path in (prefix / "conda-meta").glob("*.json"))
    sites = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("Lib/site-packages")]
    modules = sorted({path.name for site in sites for path in site.iterdir()})
    built = None
    for site in sites:
        version = site / "torch" / "version.py"
        if version.is_file():
            found = _CUDA.search(version.read_text(encoding="utf-8", errors="replace"))
            built = (found[1] or "") if found else None
    return Accelerated(packages=tuple(sorted(names)), modules=tuple(modules), torch_cuda=built)
