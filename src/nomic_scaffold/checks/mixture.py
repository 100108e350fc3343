"""Judge whether an environment is all CPU or all CUDA, by what is installed in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nomic_scaffold.checks.lock import CUDA_LIBRARY
from nomic_scaffold.models.variant import Accelerator

_WHEEL = re.compile(r"nvidia($|_(cu|nccl|nvjitlink|nvshmem|nvtx))")
"""What NVIDIA's wheels of CUDA put into site-packages; not nvidia_ml_py, which runs anywhere."""


def mixture(
    accelerator: Accelerator, *, packages: Iterable[str], modules: Iterable[str], torch_cuda: str | None
) -> str | None:
    """Say what does not belong there, or None: `packages` of conda by name, `modules` in site-packages.

    `torch_cuda` is the CUDA version that torch was built for: empty for a CPU build, None without torch.
    """
    if accelerator is Accelerator.CUDA:
        return "torch there is a CPU build" if torch_cuda == "" else None
    if torch_cuda:
        return f"torch there is built for CUDA {torch_cuda}"
    found = [name for name in sorted(packages) if CUDA_LIBRARY.match(name)]
    found += [name for name in sorted(modules) if _WHEEL.match(name)]
    return f"{found[0]} is there, which is for CUDA" if found else None
