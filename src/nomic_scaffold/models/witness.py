"""What an installer wrote down last: an environment without it is not whole."""

from __future__ import annotations

from typing import Literal

from nomic_scaffold.models.boundary import Boundary

NAME = ".nomic-scaffold.json"
"""File of the witness, at the top of the prefix."""


class WitnessedPackage(Boundary):
    """One package, the archive that it was installed from, and its own list of files."""

    name: str
    version: str
    filename: str
    sha256: str
    """Of the archive; the installer refused any other."""
    record_sha256: str
    """Of the package's RECORD as installed."""


class Witness(Boundary):
    """A finished installation."""

    schema_version: Literal[1] = 1
    provider: Literal["pypi"] = "pypi"
    tool_version: str
    lock_digest: str
    """`formats.pylock.digest` of the lock that was installed."""
    python: str
    """Full version of the Python that the environment was made with."""
    packages: tuple[WitnessedPackage, ...]
    base: dict[str, str]
    """Files that belong to the virtual environment itself and to no package -> sha256; relative to the prefix."""
