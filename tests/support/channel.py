"""Conda channels made in the test set-up: a tiny one with every trap, and one that really runs torch.

Both are deterministic and cached under `NOMIC_SCAFFOLD_TEST_CACHE` (default: `.cache/tests` of the repository).
Serve them with `tests.support.server.serve` and point the tool there with `mirrored`: records keep their
conda.anaconda.org addresses.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.variant import Platform
from tests.support import conda_package, wheels
from tests.support.conda_package import HERE, PLACEHOLDER, Package
from tests.support.wheels import PYTHON, TAG, from_wheel, interpreter

CONDA_FORGE = "https://conda.anaconda.org/conda-forge"
REPOSITORY = Path(__file__).resolve().parents[2]
OTHERS = tuple(sorted(set(Platform) - {HERE}))
CUDA = "12.9"
REAL = (
    "torch==2.13.0",
    "transformers>=5.5",
    "tokenizers>=0.22",
    "safetensors",
    "numpy>=2",
    "pytest>=8.4",
    "pip",
    # what the nomic client needs, as environment.yml of a new project names it
    "attrs",
    "click",
    "filetype",
    "jsonschema",
    "loguru",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "pyjwt",
    "python-dateutil",
    "requests",
    "rich",
    "tqdm",
)
"""What the real channel holds beside the interpreter, with everything that these need."""


def test_cache() -> Path:
    """Give the folder that survives test runs."""
    return Path(os.environ.get("NOMIC_SCAFFOLD_TEST_CACHE") or REPOSITORY / ".cache" / "tests").resolve()


def mirrored(url: str) -> dict[str, str]:
    """Give the environment variables that send the tool's requests for conda-forge to `url`."""
    return {"NOMIC_SCAFFOLD_MIRRORS": f"{CONDA_FORGE}={url}"}


def locked(channel: Path, *specs: str, platform: Platform | None = None) -> tuple[LockedPackage, ...]:
    """Solve `specs` on a channel, as a lock of the real channel's addresses would have it."""
    from rattler import BuildString, Channel, GenericVirtualPackage, MatchSpec, PackageName, SparseRepoData, Version
    from rattler import solve_with_sparse_repodata as solve

    platform = platform or Platform(HERE)
    virtual = [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString("0"))
        for name, version in (("__glibc", "2.28"), ("__linux", "5.10"), ("__unix", "0"))
    ]
    data = [
        SparseRepoData(Channel(CONDA_FORGE), subdir, channel / subdir / "repodata.json")
        for subdir in (str(platform), "noarch")
        if (channel / subdir / "repodata.json").exists()
    ]

    async def run() -> list[Any]:
        wanted = [MatchSpec(spec, strict=False) for spec in specs]
        found = await solve(wanted, data, virtual_packages=virtual)
        await asyncio.sleep(0.05)
        return list(found)

    records = sorted(asyncio.run(run()), key=lambda r: r.name.normalized)
    return tuple(
        LockedPackage(
            name=r.name.normalized,
            version=str(r.version),
            manager="conda",
            platform=platform,
            url=str(r.url),
            sha256=r.sha256.hex(),
            md5=r.md5.hex(),
            depends=tuple(r.depends),
            size=r.size,
            build=str(r.build),
        )
        for r in records
    )


def index(channel: Path) -> None:
    """Write repodata.json of every subdir."""
    from rattler.index.index import index_fs

    (channel / "noarch").mkdir(parents=True, exist_ok=True)
    asyncio.run(_index(index_fs, channel))


async def _index(index_fs: object, channel: Path) -> None:
    await index_fs(channel, force=True)  # type: ignore[operator]  # not forced, it keeps hashes of rebuilt files
    await asyncio.sleep(0.05)  # py-rattler may crash at the interpreter's exit otherwise


def write(channel: Path, packages: Iterable[Package]) -> Path:
    """Write packages and the index of a channel."""
    for package in packages:
        package.write(channel)
    index(channel)
    return channel


def _cached(name: str, sources: Iterable[Path | str], make: object) -> Path:
    """Make a folder once per content of `sources`; a half-made one is never taken for whole."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes() if isinstance(source, Path) else source.encode())
    place = test_cache() / f"{name}-{digest.hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not place.is_dir():
            part = place.with_name(f"{place.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)  # type: ignore[operator]
            part.rename(place)
    return place


_WRITER = Path(conda_package.__file__)


def tiny_channel() -> Path:
    """Give a channel of small packages, made without network in a second."""
    return _cached("tiny-channel", (Path(__file__), _WRITER), lambda out: write(out, tiny_packages()))


def tiny_packages() -> list[Package]:
    """Make packages that between them hold everything an installer must do to a file."""
    return [
        _tiny_python(),
        _tiny_library(),
        _tiny_noarch("1.0"),
        _tiny_noarch("2.0"),
        _tiny_data("1.0", files=200),
        _tiny_data("2.0", files=210),
        _tiny_old(),
        Package("tiny-meta", "1.0", "0", "noarch", noarch="generic", depends=["tiny-noarch", "libtiny", "tiny-data"]),
    ]


def _tiny_python() -> Package:
    """Stand in for Python: a script that runs the tests' interpreter, with python's files and links."""
    package = Package("python", f"{PYTHON}.0", "h0_0_cpython")
    program = f'#!/bin/sh\n# {PLACEHOLDER}\nexec "{sys.executable}" "$@"\n'
    package.add(f"bin/python{PYTHON}", program.encode(), 0o755, "text")
    package.links |= {"bin/python3": f"python{PYTHON}", "bin/python": "python3"}
    package.add(f"lib/python{PYTHON}/os.py", b"# stands in for the real one\n")
    package.add(f"lib/python{PYTHON}/_sysconfigdata.py", f"prefix = '{PLACEHOLDER}'\n".encode(), 0o644, "text")
    package.add(f"lib/python{PYTHON}/site-packages/README.txt", b"\n")
    package.add_compiled(f"lib/python{PYTHON}/os.py")
    package.add_compiled(f"lib/python{PYTHON}/_sysconfigdata.py")
    return package


def _tiny_library() -> Package:
    package = Package("libtiny", "1.2.3", "h1_0")
    place = PLACEHOLDER.encode()
    code = b"\x7fELF" + bytes(range(256)) * 64 + place + b"/lib\0" + b"\1" * 50
    code += place + b"/bin:" + place + b"/sbin:/usr/bin\0\0\0" + b"\2" * 33 + place + b"\0" + b"end"
    package.add("lib/libtiny.so.1.2.3", code, 0o755, "binary")
    package.links |= {"lib/libtiny.so": "libtiny.so.1", "lib/libtiny.so.1": "libtiny.so.1.2.3"}
    text = f"[paths]\nprefix={PLACEHOLDER}\nlib={PLACEHOLDER}/lib:{PLACEHOLDER}/lib64\n"
    package.add("etc/tiny/tiny.conf", text.encode(), 0o600, "text")
    package.add("etc/tiny/windows.conf", text.replace("\n", "\r\n").encode(), 0o644, "text")
    package.add(f"lib/python{PYTHON}/site-packages/tiny_ext.py", b"x = 1\n")
    package.add_compiled(f"lib/python{PYTHON}/site-packages/tiny_ext.py")
    package.add("bin/tiny-config", f"#!{PLACEHOLDER}/bin/sh\necho {PLACEHOLDER}\n".encode(), 0o755, "text")
    return package


def _tiny_noarch(version: str) -> Package:
    depends = [f"python >={PYTHON}"]
    package = Package("tiny-noarch", version, "pyhd_0", "noarch", noarch="python", depends=depends)
    package.add("site-packages/tiny_noarch/__init__.py", f"VERSION = {version!r}\ndef main():\n    print(1)\n".encode())
    package.add("site-packages/tiny_noarch/data/größe table.txt", "größe\n".encode())
    package.add("site-packages/tiny_noarch/empty.py", b"")
    info = f"site-packages/tiny_noarch-{version}.dist-info"
    package.add(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-noarch\nVersion: {version}\n".encode())
    package.add(f"{info}/INSTALLER", b"conda\n")
    package.add("python-scripts/tiny-script", f"#!{PLACEHOLDER}/bin/python\nprint(2)\n".encode(), 0o755, "text")
    package.entry_points = ["tiny = tiny_noarch:main", "tiny-deep = tiny_noarch.cli:App.run"]
    return package


def _tiny_data(version: str, *, files: int) -> Package:
    package = Package("tiny-data", version, "0", "noarch", noarch="generic")
    for number in range(files):
        seed = hashlib.sha256(f"{version}/{number}".encode()).digest()
        package.add(f"share/tiny/{number % 7}/{number:03}.bin", seed * (1 + 5 * number))
    package.add(
        "share/tiny/large.bin", b"".join(hashlib.sha256(bytes([n % 251, n >> 8])).digest() for n in range(40_000))
    )
    package.add("share/tiny/run.sh", b"#!/bin/sh\nexit 0\n", 0o755)
    package.links["share/tiny/latest"] = "large.bin"
    package.links["share/tiny/nowhere"] = "does/not/exist"
    return package


def _tiny_old() -> Package:
    """Make a package in the old format."""
    package = Package("tiny-old", "0.9", "py_1", number=1, extension=".tar.bz2")
    package.add("share/old/old.txt", f"at {PLACEHOLDER}\n".encode(), 0o644, "text")
    package.add("share/old/plain.txt", b"plain\n")
    package.links["share/old/link.txt"] = "plain.txt"
    return package


def interpreter_channel() -> Path:
    """Give a channel with a Python that runs, and nothing else; made in a few seconds."""
    sources = (_WRITER, Path(wheels.__file__), sys.version)
    return _cached(
        "interpreter-channel", sources, lambda out: write(out, interpreter(test_cache() / "tools", subdir=HERE))
    )


def real_channel(*, say: object = None) -> Path:
    """Give a channel with this interpreter, torch and what a project needs; about 500 MB of wheels the first time."""
    sources = (_WRITER, Path(wheels.__file__), "\n".join(REAL), sys.version)
    return _cached("real-channel", sources, lambda out: _make_real(out, say))


def _make_real(channel: Path, say: object) -> None:
    tell = say if callable(say) else lambda _: None
    start = time.monotonic()
    tools = test_cache() / "tools"
    made = list(interpreter(tools, subdir=HERE))
    for package in made:
        package.write(channel)
    tell(f"{time.monotonic() - start:.0f} s: interpreter")
    stubs: list[Package] = list(made)
    for wheel in real_wheels():
        package = from_wheel(wheel, subdir=HERE)
        package.write(channel)
        stubs.append(package)
        tell(f"{time.monotonic() - start:.0f} s: {package.file_name}")
    for package in stubs:
        if package.subdir != "noarch":
            for stub in _stubs(package):
                stub.write(channel)
    index(channel)


def _stubs(package: Package) -> list[Package]:
    """Make file-less packages of other platforms and of CUDA, so that every variant solves."""
    depends = [spec for spec in package.depends if not spec.startswith("__glibc")]
    stubs = []
    for subdir in (HERE, *OTHERS):
        builds = {package.build: 0} if subdir != HERE else {}
        if package.name == "pytorch":
            blas = "mkl" if subdir in ("linux-64", "win-64") else "generic"
            builds = {re.sub("cpu_[a-z]+", f"cpu_{blas}", build): number for build, number in builds.items()}
            if subdir != "osx-arm64":
                builds[f"cuda{CUDA.replace('.', '')}_{blas}_py{TAG}_300"] = 300
        for build, number in builds.items():
            needs = [*depends, f"__cuda >={CUDA}"] if build.startswith("cuda") else depends
            stub = Package(package.name, package.version, build, subdir, number=number, depends=needs)
            stub.constrains = package.constrains
            stubs.append(stub)
    return stubs


def real_wheels() -> list[Path]:
    """Download the wheels of the real channel with pip, as it is configured here, once."""
    place = _cached("wheels", ("\n".join(REAL), sys.version), _download)
    return sorted(place.glob("*.whl"))


def _download(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--no-cache-dir"]
    subprocess.run([*pip, "--dest", str(folder), *REAL], check=True, stdout=subprocess.DEVNULL)
