"""What the build string of a package says of the machine that it is for."""

from __future__ import annotations

import re

from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.variant import Accelerator

_OF_EVERY_BUILD = re.compile(r"\d*|(py|cp|np)\d\w*|pyh\w*|h[0-9a-f]+")
_TORCH = frozenset({"pytorch", "libtorch"})


def flavour_of(build: str | None) -> str:
    """Take Python, hashes and numbers out of a build string: `cpu_generic_py313_h2a9f_0` is `cpu_generic`."""
    return "_".join(part for part in (build or "").split("_") if not _OF_EVERY_BUILD.fullmatch(part))


def accelerator_of(package: LockedPackage) -> Accelerator | None:
    """Tell what a package was built for; None when it does not matter."""
    build = package.build or ""
    if package.name == "pytorch-gpu" or (package.name in _TORCH and "cuda" in build):
        return Accelerator.CUDA
    if package.name == "pytorch-cpu" or (package.name in _TORCH and build.startswith("cpu")):
        return Accelerator.CPU
    return None
