"""What an installer wrote down last: an environment without it is not whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.prefix import Provider
from nomic_scaffold.models.variant import Accelerator

NAME = ".nomic-scaffold.json"
"""File of the witness, at the top of the prefix; the environment with the newest one is the project's current one."""


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
    provider: Provider
    accelerator: Accelerator
    tool_version: str
    lock_digest: str
    """Of the lock that was installed; for wheels `formats.pylock.digest`."""
    python: str
    """Full version of the Python that the environment was made with."""
    adopted: bool = False
    """Whether another tool made the environment, and people's own files in it stay."""
    packages: tuple[WitnessedPackage, ...] = ()
    """For wheels only: conda writes its own records."""
    base: dict[str, str] = Field(default_factory=dict)
    """Files that belong to the virtual environment itself and to no package -> sha256; relative to the prefix."""
