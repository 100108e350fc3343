"""The exact engine's settings: they hold torch and oneDNN to what every x86-64 processor with AVX2 computes alike.

Both libraries read them when they are loaded, so this module imports neither. The other half is ExactOperators.
"""

from __future__ import annotations

import os
import sys

SETTINGS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""A sum over wider vectors rounds otherwise, so the width is part of the bits."""


class ExactError(RuntimeError):
    """The same bits on every processor can't be promised here."""


def pin() -> None:
    """Hold torch and oneDNN to AVX2; raises ExactError when torch is already loaded without that.

    It holds the whole process: every engine, and whatever else uses torch there, computes with AVX2 from then on.
    """
    missing = {name: value for name, value in SETTINGS.items() if os.environ.get(name, "").upper() != value.upper()}
    if missing and "torch" in sys.modules:
        wanted = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
        raise ExactError(
            f"engine='exact' has to set {wanted} before torch is loaded, and it is loaded; "
            "set them in the environment, or call embed(engine='exact') before torch is imported"
        )
    os.environ.update(missing)
