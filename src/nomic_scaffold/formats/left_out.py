"""What an image leaves out of an environment, and the record that says so."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from nomic_scaffold.models.boundary import Boundary

NAME = ".nomic-scaffold-left-out.json"
"""The record, relative to the prefix."""

GROUPS: dict[str, tuple[str, ...]] = {
    "headers": (
        "include/*",
        "lib/python3.*/site-packages/pyarrow/include/*",
        "lib/python3.*/site-packages/torch/include/*",
    ),
    "static libraries": ("lib/*.a",),
    "what builds use": (
        "lib/cmake/*",
        "lib/pkgconfig/*",
        "lib/python3.*/config-*/*",
        "lib/python3.*/site-packages/torch/share/cmake/*",
    ),
    "tests": (
        "lib/python3.*/test/*",
        "lib/python3.*/site-packages/numpy/*/tests/*",
        "lib/python3.*/site-packages/pandas/tests/*",
        "lib/python3.*/site-packages/pyarrow/tests/*",
    ),
    "Tcl/Tk and IDLE": (
        "lib/libtcl8*",
        "lib/libtk8*",
        "lib/tcl8*",
        "lib/tk8*",
        "lib/python3.*/idlelib/*",
        "lib/python3.*/lib-dynload/_tkinter.*",
        "lib/python3.*/tkinter/*",
        "lib/python3.*/turtledemo/*",
    ),
    "manuals": ("share/doc/*", "share/gtk-doc/*", "share/info/*", "share/man/*"),
    "debug symbols": ("*.debug",),
    "gpt4all's code for NVIDIA GPUs": (
        "lib/python3.*/site-packages/gpt4all/llmodel_DO_NOT_MODIFY/build/libllamamodel-*-cuda*.so",
    ),
    "MKL for clusters, TBB, 64-bit integers and processors without AVX2": (
        "lib/libmkl_*ilp64.so*",
        "lib/libmkl_blacs_*.so*",
        "lib/libmkl_cdft_core.so*",
        "lib/libmkl_mc3.so*",
        "lib/libmkl_scalapack_*.so*",
        "lib/libmkl_tbb_thread.so*",
        "lib/libmkl_vml_mc3.so*",
    ),
    "compiled Python": ("*.pyc",),
}
"""Files that embedding never opens, by what they are.

MKL loads a library by the processor's name, and its plain one where that is missing: only `mc3`, for Intel's processors
without AVX2, is left to that, since it would be slow there either way.
Without headers `torch.compile` can't build C++ code; nothing else in a generated project needs them. The nomic runtime
computes on the processor, by another library of gpt4all's, and gives the same bits without the two for GPUs.
"""
PATTERNS: tuple[str, ...] = tuple(pattern for patterns in GROUPS.values() for pattern in patterns)


class LeftOut(Boundary):
    """The record in the prefix: whatever matches these patterns may be missing, and nothing else."""

    schema_version: Literal[1] = 1
    patterns: tuple[str, ...]
    files: int
    bytes: int


def leaves_out(patterns: tuple[str, ...], path: str) -> bool:
    """Say whether a file of a prefix (relative, forward slashes) matches; `*` also spans folders."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)
