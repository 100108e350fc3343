"""Find what ships with the tool: in the wheel under `_data`, in a source tree at its top level."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
"""The folder of this package."""


def shipped(*parts: str) -> Path:
    """Give the path of a shipped file or folder, e.g. `shipped("template")`.

    Raises FileNotFoundError when an installation is damaged.
    """
    for root in (PACKAGE / "_data", PACKAGE.parent.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError("/".join(parts))


def probe_folder() -> Path:
    """Give the folder that the environment's own Python runs as the probe."""
    return PACKAGE / "_probe"
