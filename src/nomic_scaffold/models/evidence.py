"""What was seen: plain data that an adapter gathered and any machine can judge."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nomic_scaffold.models.boundary import Boundary


class Unavailable(Boundary):
    """A part that could not be looked at, and why; never a pass."""

    unavailable: str
    hint: str = ""
    """The next command to type, when there is one."""


class MachineFacts(Boundary):
    """The machine that the evidence comes from."""

    platform: str
    """conda subdir, e.g. `linux-64`."""
    os: str
    libc: str | None = None
    processor: str | None = None
    instruction_sets: tuple[str, ...] = ()
    cores: int | None = None
    gpu: str | None = None
    driver: str | None = None
    python: str


class InstalledPackage(Boundary):
    """One package as an environment records it."""

    name: str
    version: str
    manager: Literal["conda", "pip"]
    build: str | None = None
    channel: str | None = None
    url: str | None = None
    sha256: str | None = None
    """Of the archive that it was installed from, where the record says."""
    md5: str | None = None


FileProblem = Literal["missing", "resized", "changed", "link", "mode", "foreign", "unreadable", "unwitnessed"]


class FileFinding(Boundary):
    """One file of an environment that is not what its package gives."""

    path: str
    """Relative to the prefix, with forward slashes."""
    problem: FileProblem
    owner: str | None = None
    """Name of the package that the file belongs to."""
    detail: str = ""


class EnvironmentEvidence(Boundary):
    """An installed environment: its packages, and the files that are not as they should be."""

    provider: Literal["conda", "pypi"]
    accelerator: Literal["cpu", "cuda"] = "cpu"
    python: str
    packages: tuple[InstalledPackage, ...]
    depth: Literal["fast", "deep"]
    files: int
    """Number of files looked at."""
    compiled: int = 0
    """Number of compiled modules in `__pycache__` that no package brought: Python's own, which nothing vouches for."""
    bytes_read: int
    findings: tuple[FileFinding, ...] = ()
    markers: dict[str, str] = Field(default_factory=dict)
    """PEP 508 marker environment of the prefix's Python, for judging pylock.toml."""
    left_out: tuple[str, ...] = ()
    """Patterns of files that an image build left out and recorded."""
    left_out_files: int = 0
    """Number of files that were left out, as recorded."""
    left_out_bytes: int = 0


class WeightsEvidence(Boundary):
    """The model file as it lies on disk."""

    file: str
    size: int | None
    sha256: str | None
    """None when the file is missing."""


class Matrix(Boundary):
    """The vectors of one call of `embed`."""

    shape: tuple[int, ...]
    dtype: str
    rows: tuple[str, ...]
    """base64 of little-endian float32 per row; rows that are not finite keep their bits."""
    warnings: tuple[str, ...] = ()
    tokens: tuple[int, ...] = ()
    """Number of tokens of each golden text, prefix and special tokens included, where the project counts them."""


class CaseFailure(Boundary):
    """A call of `embed` that raised."""

    error: str
    """Name of the exception's class."""
    message: str


class EmbeddingsEvidence(Boundary):
    """What the project's own `embed` gave for the probe's texts."""

    runtime: str
    """`torch` or `nomic`."""
    engine: str
    """`fast`, `reference` or `exact` (torch), or `nomic`."""
    device: str
    dtype: str
    versions: dict[str, str]
    seconds: float
    cases: dict[str, Matrix | CaseFailure]
    """Case id -> vectors; ids are listed in adapters/probe.py."""
    unknown_share: dict[str, float] | Unavailable
    """Language code -> share of tokens of its sentences that are [UNK]."""
    operators: str = ""
    """What multiplies the torch runtime's matrices: `onednn` or `plain`."""
    same_bits: bool = False
    """Whether the runtime promises a text's bits whatever its neighbours and the number of threads."""
    why: str = ""
    """Why it is not the fast engine on oneDNN, where it isn't and nobody asked for another."""
    vectors_sha256: str | None = None
    """Of the bytes of all vectors, in the order of their cases' ids, written by the probe itself."""


class NetworkAttempt(Boundary):
    """One try of the probed code to reach another machine."""

    call: str
    """e.g. `socket.connect`, `socket.getaddrinfo`."""
    address: str


class PrivacyEvidence(Boundary):
    """Network attempts while embedding, and how they were watched."""

    attempts: tuple[NetworkAttempt, ...]
    watched: tuple[Literal["socket", "namespace"], ...]
    """`socket`: Python's sockets blocked and recorded; `namespace`: ran in an empty network namespace."""
    started: tuple[str, ...] = ()
    """Names of the programs that were started and let run; only a namespace holds these in."""


class LockEvidence(Boundary):
    """The project's locks, as text with their paths, for judging elsewhere."""

    files: dict[str, str]
    """Path relative to the project -> sha256 of the file."""


class Evidence(Boundary):
    """Everything that one run of `verify` looked at; None means not asked for."""

    schema_version: Literal[1] = 1
    tool_version: str
    made_at: str
    """UTC, ISO 8601."""
    machine: MachineFacts
    lock: LockEvidence | Unavailable | None = None
    environment: EnvironmentEvidence | Unavailable | None = None
    weights: WeightsEvidence | Unavailable | None = None
    embeddings: EmbeddingsEvidence | Unavailable | None = None
    privacy: PrivacyEvidence | Unavailable | None = None
