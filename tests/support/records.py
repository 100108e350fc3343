"""Channels that are records only: what a solve needs, made in milliseconds, and projects that ask for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PLATFORMS = ("linux-64", "linux-aarch64", "osx-arm64", "win-64")
DAY = 86_400_000
NEW_YEAR = 1_767_225_600_000
"""2026-01-01T00:00:00Z in milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One package of a channel."""

    name: str
    version: str = "1.0"
    build: str = "0"
    depends: tuple[str, ...] = ()
    subdir: str = "noarch"
    day: int = 0
    """Days after the new year of 2026 that it was made."""
    number: int = 0
    hashes: tuple[str, ...] = ("md5", "sha256")
    constrains: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.conda"

    def data(self) -> dict[str, object]:
        stem = f"{self.subdir}/{self.filename}".encode()
        hashes = {"md5": hashlib.md5(stem).hexdigest(), "sha256": hashlib.sha256(stem).hexdigest()}
        return {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": self.number,
            "depends": list(self.depends),
            "constrains": list(self.constrains),
            "subdir": self.subdir,
            "size": 1000 + len(stem),
            "timestamp": NEW_YEAR + self.day * DAY,
            **({"noarch": "python"} if self.subdir == "noarch" else {}),
            **{name: hashes[name] for name in self.hashes},
        }


def everywhere(name: str, version: str = "1.0", *, build: str = "0", **more: object) -> tuple[Record, ...]:
    """Make a record of each platform."""
    return tuple(Record(name=name, version=version, build=build, subdir=subdir, **more) for subdir in PLATFORMS)  # type: ignore[arg-type]


def world() -> tuple[Record, ...]:
    """Make the smallest channel that has every variant: python, pytorch for CPU and CUDA, and a few more."""
    torch = ("python >=3.13,<3.14.0a0", "libtorch 2.9.0")
    return (
        *everywhere("python", "3.13.1", build="h1_cp313", depends=("tzdata",)),
        Record(name="tzdata", version="2026a"),
        Record(name="pip", version="25.0", build="pyh1_0", depends=("python >=3.10",)),
        *(
            Record(
                name=name, version="2.9.0", build=f"{flavour}_{build}", depends=depends, subdir=subdir, number=number
            )
            for subdir in PLATFORMS
            for flavour, number, needs in (("cpu_generic", 1, ()), ("cuda129_generic", 201, ("__cuda",)))
            if not (needs and subdir == "osx-arm64")
            for name, build, depends in (("pytorch", "py313_h2", (*torch, *needs)), ("libtorch", "h3", needs))
        ),
        Record(name="numpy", version="2.0.0", build="py313_0", depends=("python",), day=1),
        Record(name="numpy", version="2.1.0", build="py313_0", depends=("python",), day=100),
        Record(name="rich", version="13.0", build="pyh2_0", depends=("python", "pygments >=2"), day=1),
        Record(name="pygments", version="2.0", build="pyh3_0", depends=("python",), day=1),
    )


def write(folder: Path, records: Iterable[Record]) -> Path:
    """Write repodata.json of every subdir, replacing what is there."""
    packages: dict[str, dict[str, object]] = {subdir: {} for subdir in ("noarch", *PLATFORMS)}
    for record in records:
        packages[record.subdir][record.filename] = record.data()
    for subdir, found in packages.items():
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        data = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": found, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


ENVIRONMENT = """\
name: tiny
channels:
  - {channel}
dependencies:
  - python 3.13.*
  - pytorch >=2
{lines}"""
SCAFFOLD = """\
schema = 1

[variants.cpu]
platforms = ["linux-64", "linux-aarch64", "osx-arm64", "win-64"]
requirements = {{ all = ["pytorch * {cpu}"] }}

[variants.cuda]
platforms = ["linux-64", "linux-aarch64", "win-64"]
requirements = {{ all = ["pytorch * {cuda}"] }}
virtual-packages = {{ __cuda = "12.9" }}

[virtual-packages]
linux-64 = {{ __unix = "0", __linux = "5.10", __glibc = "2.28", __archspec = "1 x86_64_v3" }}
linux-aarch64 = {{ __unix = "0", __linux = "5.10", __glibc = "2.28" }}
osx-arm64 = {{ __unix = "0", __osx = "13.0" }}
win-64 = {{ __win = "10" }}

[pypi]
python = "3.11"
requirements = [{pypi}]

[tool]
version = "0.1.0"

[project]
name = "tiny"
package = "tiny"
python = "3.13"
languages = ["en"]

[model]
repository = "made/up"
revision = "{revision}"
file = "model.gguf"
sha256 = "{sha256}"
size = 1000
dimension = 768
max-tokens = 8192

[tolerance]
cosine-distance = 1e-9
component = 1e-6
"""


def project(
    root: Path,
    requirements: Sequence[str] = ("numpy >=2",),
    *,
    pip: Sequence[str] = (),
    channel: str = "conda-forge",
    cpu: str = "cpu*",
    cuda: str = "cuda*",
    pypi: Sequence[str] = (),
) -> Path:
    """Write the two files that a project's locks are made from."""
    root.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"  - {item}\n" for item in requirements)
    if pip:
        lines += "  - pip\n  - pip:\n" + "".join(f"      - {item}\n" for item in pip)
    text = ENVIRONMENT.format(channel=channel, lines=lines)
    (root / "environment.yml").write_text(text, encoding="utf-8")
    names = ", ".join(f'"{item}"' for item in pypi)
    scaffold = SCAFFOLD.format(cpu=cpu, cuda=cuda, pypi=names, revision="0" * 40, sha256="5a" * 32)
    (root / "scaffold.toml").write_text(scaffold, encoding="utf-8")
    return root
