"""What an image leaves out of an environment, and the record that says so."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from nomic_scaffold.models.boundary import Boundary

NAME = ".nomic-scaffold-left-out.json"
"""The record, relative to the prefix."""

PATTERNS: tuple[str, ...] = (
    "include/*",
    "lib/*.a",
    "lib/cmake/*",
    "lib/pkgconfig/*",
    "lib/python3.*/config-*/*",
    "lib/python3.*/idlelib/*",
    "lib/python3.*/lib-dynload/_tkinter.*",
    "lib/python3.*/test/*",
    "lib/python3.*/tkinter/*",
    "lib/python3.*/turtledemo/*",
    "lib/python3.*/site-packages/numpy/*/tests/*",
    "lib/python3.*/site-packages/pandas/tests/*",
    "lib/python3.*/site-packages/pyarrow/include/*",
    "lib/python3.*/site-packages/pyarrow/tests/*",
    "lib/python3.*/site-packages/torch/include/*",
    "lib/python3.*/site-packages/torch/share/cmake/*",
    "lib/libtcl8*",
    "lib/libtk8*",
    "lib/tcl8*",
    "lib/tk8*",
    "share/doc/*",
    "share/gtk-doc/*",
    "share/info/*",
    "share/man/*",
    "*.debug",
    "*.pyc",
)
"""Files that embedding never opens: headers, static libraries, tests, Tcl/Tk, manuals, debug symbols.

Without headers `torch.compile` can't build C++ code; nothing else in a generated project needs them.
"""


class LeftOut(Boundary):
    """The record in the prefix: whatever matches these patterns may be missing, and nothing else."""

    schema_version: Literal[1] = 1
    patterns: tuple[str, ...]
    files: int
    bytes: int


def leaves_out(patterns: tuple[str, ...], path: str) -> bool:
    """Say whether a file of a prefix (relative, forward slashes) matches; `*` also spans folders."""
    return any(fnmatchcase(path, pattern) for pattern in patterns)
