"""What a new project is made from: the answers to the template's questions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nomic_scaffold.models.variant import Accelerator, Platform


class Licence(StrEnum):
    """Licences that the template has a text for."""

    APACHE = "Apache-2.0"
    MIT = "MIT"
    BSD = "BSD-3-Clause"
    PROPRIETARY = "Proprietary"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All answers, valid together."""

    name: str
    """As people read it; any script."""
    package: str
    """ASCII, importable, hides nothing."""
    description: str
    author: str
    licence: Licence
    python: str
    """Minor version, e.g. `3.13`."""
    platforms: tuple[Platform, ...]
    variants: tuple[Accelerator, ...]
    languages: tuple[str, ...]
    """ISO 639-1 codes."""
