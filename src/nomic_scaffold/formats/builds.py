"""What the build string of a package says of the machine that it is for."""

from __future__ import annotations

from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.variant import Accelerator

_TORCH = frozenset({"pytorch", "libtorch"})


def accelerator_of(package: LockedPackage) -> Accelerator | None:
    """Tell what a package was built for; None when it does not matter."""
    build = package.build or ""
    if package.name == "pytorch-gpu" or (package.name in _TORCH and "cuda" in build):
        return Accelerator.CUDA
    if package.name == "pytorch-cpu" or (package.name in _TORCH and build.startswith("cpu")):
        return Accelerator.CPU
    return None
