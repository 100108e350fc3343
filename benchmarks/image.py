"""Size and speed of a project's image: `nox -s bench -- image`, as root, with a Docker engine's program installed.

Computed from the shipped locks: the bytes of all packages of each Linux variant. Measured on the tests' channel, with a
private engine: what is left out, what the image weighs, how long a cold build and a rebuild take.
`QUICK=1` computes only.

Goals: 1.3 GB for the real CPU image without weights; a cold build at most 1.3 times as long as installing the same
environment outside docker; a rebuild after a change of source in 3 s.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import zstandard  # noqa: E402

from benchmarks._tables import write_between_markers  # noqa: E402
from nomic_scaffold.adapters.conda.archive import archives_in  # noqa: E402
from nomic_scaffold.formats import conda_lock, left_out, lock_sizes  # noqa: E402
from nomic_scaffold.models.lock import LockFile  # noqa: E402
from nomic_scaffold.models.variant import Accelerator, Platform  # noqa: E402
from tests.support import docker_engine  # noqa: E402
from tests.support.channel import mirrored, real_channel, test_cache  # noqa: E402
from tests.support.server import serve  # noqa: E402
from tests.support.weights import official_file  # noqa: E402

TOOL = [sys.executable, "-m", "nomic_scaffold"]
PAGE = ROOT / "docs" / "explanation" / "image-size.md"
CONDA_BUILD_LEVEL = 19
"""zstd's level in conda-build since 2022 (conda/conda-build#4663), by which conda-forge's packages are made."""
GOAL_BYTES, GOAL_COLD, GOAL_REBUILD = 1.3e9, 1.3, 3.0
LOCKS = {Accelerator.CPU: "conda-lock.yml", Accelerator.CUDA: "cuda.conda-lock.yml"}


def mb(size: float) -> str:
    """Write bytes as people read them."""
    return f"{size / 1e6:,.0f} MB"


def lock_in(folder: Path, accelerator: Accelerator) -> LockFile:
    """Read the lock of an accelerator."""
    path = folder / LOCKS[accelerator]
    return conda_lock.parse(path.read_text(encoding="utf-8"), path=str(path), accelerator=accelerator)


def shipped_sizes() -> dict[str, int]:
    """Give sha256 -> bytes of the archives of the shipped locks."""
    return lock_sizes.parse((ROOT / "locks" / "sizes.json").read_text(encoding="utf-8"))


def package_bytes() -> dict[str, int]:
    """Add up what each Linux variant of the shipped locks downloads."""
    sizes = shipped_sizes()
    found = {}
    for accelerator, name in LOCKS.items():
        lock = lock_in(ROOT / "locks", accelerator)
        for platform in (Platform.LINUX_64, Platform.LINUX_AARCH64):
            packages = lock.on(platform)
            unknown = [p.name for p in packages if not (p.size or sizes.get(p.sha256 or ""))]
            if unknown:
                sys.exit(f"{name}: the size of {unknown} is not known")
            found[f"{platform}-{accelerator}"] = sum(p.size or sizes[p.sha256 or ""] for p in packages)
    return found


def run(command: Iterable[str | Path], environment: dict[str, str], *, cwd: Path) -> tuple[str, float]:
    """Run a command; give its stdout and its wall time in seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout, seconds


def compressed_again(archive: Path) -> int:
    """Give the bytes of a `.conda` archive at conda-build's level; the tests' channel packs fast."""
    total, squeeze = 0, zstandard.ZstdCompressor(level=CONDA_BUILD_LEVEL, threads=-1)
    with zipfile.ZipFile(archive) as outer:
        for name in outer.namelist():
            data = outer.read(name)
            if name.endswith(".tar.zst"):
                data = squeeze.compress(zstandard.ZstdDecompressor().decompressobj().decompress(data))
            total += len(data)
    return total


def mkl_bytes(folder: Path) -> tuple[int, int]:
    """Give what MKL of the shipped lock takes of the download, and its bytes in a slim environment.

    Intel's wheel of the same version says the second: the conda package is out of reach of a machine without a channel.
    """
    mkl = next(p for p in lock_in(ROOT / "locks", Accelerator.CPU).on(Platform.LINUX_64) if p.name == "mkl")
    wheel = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    run([*wheel, "--dest", folder, f"mkl=={mkl.version}"], dict(os.environ), cwd=folder)
    with zipfile.ZipFile(next(folder.glob("mkl-*.whl"))) as file:
        members = {info.filename.partition(".data/data/")[2]: info.file_size for info in file.infolist()}
    kept = sum(size for name, size in members.items() if not left_out.leaves_out(left_out.PATTERNS, name))
    return shipped_sizes()[mkl.sha256 or ""], kept


def folder_bytes(folder: Path) -> int:
    """Add up the files of a folder; hard links once."""
    seen = {(s.st_dev, s.st_ino): s.st_size for path in folder.rglob("*") if not path.is_dir() for s in [path.lstat()]}
    return sum(seen.values())


def bytes_of_wheels(prefix: Path) -> int:
    """Add up the files of a prefix that came out of the pip section's wheels."""
    total = 0
    for info in prefix.glob("lib/python3*/site-packages/*.dist-info"):
        installer = info / "INSTALLER"
        if installer.exists() and installer.read_text(encoding="utf-8").strip() != "conda":
            with (info / "RECORD").open(newline="", encoding="utf-8") as file:
                places = [info.parent / row[0] for row in csv.reader(file) if row]
            total += sum(place.stat().st_size for place in places if place.exists())
    return total


def by_group(prefix: Path) -> dict[str, tuple[int, int]]:
    """Give files and bytes of each group of patterns that `--slim` leaves out of a prefix."""
    found = dict.fromkeys(left_out.GROUPS, (0, 0))
    for path in prefix.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            continue
        name = path.relative_to(prefix).as_posix()
        group = next((g for g, patterns in left_out.GROUPS.items() if left_out.leaves_out(patterns, name)), None)
        if group:
            files, size = found[group]
            found[group] = (files + 1, size + path.lstat().st_size)
    return found


class Measured:
    """What the private engine and the tests' channel show."""

    def __init__(self, folder: Path, host: str, environment: dict[str, str]) -> None:
        self.root = folder / "project"
        # the distribution's docker command speaks BuildKit without a plug-in
        path = os.pathsep.join(["/usr/bin", environment["PATH"]])
        self.environment = {**environment, "PATH": path, "DOCKER_HOST": host, "CI": "true"}
        self.packages = folder / "pkgs"
        self.environment["NOMIC_SCAFFOLD_PKGS"] = str(self.packages)
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        options = ("--defaults", "--python", python, "--platform", "linux-64", "--variant", "cpu")
        run([*TOOL, "new", self.root, *options], self.environment, cwd=folder)
        for step in (["lock"], ["weights", "add", official_file()], ["weights", "pull"]):
            self.tool(*step)
        self.first = self.build("--tag", "first")[0]  # the tool's image is made, and every archive fetched
        self._install(folder)
        self._builds(host)

    def tool(self, *arguments: str | Path) -> tuple[str, float]:
        """Run the tool on the project; give its stdout and its wall time in seconds."""
        return run([*TOOL, "-C", self.root, *arguments], self.environment, cwd=self.root)

    def build(self, *arguments: str) -> tuple[dict[str, object], float]:
        """Run `image build`; give its JSON and its wall time in seconds."""
        base = ("--base", docker_engine.BASE, "--builder-base", docker_engine.BASE)
        out, seconds = self.tool("--format", "json", "image", "build", *base, *arguments)
        return json.loads(out), seconds

    def _install(self, folder: Path) -> None:
        whole, slim = folder / "whole", folder / "slim"
        install = ("install", "--provider", "conda", "--variant", "cpu", "--copy", "--prefix")
        self.install_seconds = self.tool(*install, slim, "--slim")[1]  # nothing is unpacked yet, as in the build
        self.tool(*install, whole)
        self.whole_bytes, self.groups = folder_bytes(whole), by_group(whole)
        self.slim_bytes, self.pip_bytes = folder_bytes(slim), bytes_of_wheels(slim)
        self.tool("verify", "--only", "environment", "--deep", "--prefix", slim)

    def _builds(self, host: str) -> None:
        self.buildkit_seconds = self.build("--no-cache", "--buildkit", "--tag", "kit")[1]
        self.image, self.cold_seconds = self.build("--no-cache", "--tag", "cold")
        source = self.root / "src" / "project" / "__init__.py"
        source.write_text(source.read_text(encoding="utf-8") + "\n# one more line\n", encoding="utf-8")
        self.rebuild_seconds = self.build("--tag", "cold")[1]
        self.mounted = self.build("--weights", "mount", "--tag", "mounted")[0]
        told = docker_engine.docker(host, "history", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", "cold")
        # a command of several lines goes on without a size
        rows = [line.split("\t", 1) for line in reversed(told.splitlines()) if re.match(r"[\d.e+]+\t", line)]
        self.layers = [(int(float(size)), by.split("#(nop)")[-1].strip()) for size, by in rows if float(size)]

    @cached_property
    def ratio(self) -> float:
        """Installed and slim bytes for each byte of a conda package, compressed as conda-build does it."""
        conda = (p for p in lock_in(self.root, Accelerator.CPU).packages if p.manager == "conda")
        cached = archives_in(self.packages)
        return (self.slim_bytes - self.pip_bytes) / sum(compressed_again(cached.place(package)) for package in conda)

    def estimate(self, downloaded: int, *, mkl: tuple[int, int] = (0, 0)) -> float:
        """Bytes of an environment of so many bytes of conda packages, with the wheels of the pip section.

        `mkl` is what MKL takes of the download, and what it leaves in a slim environment.
        """
        return (downloaded - mkl[0]) * self.ratio + mkl[1] + self.pip_bytes


def computed_table(packages: dict[str, int]) -> list[str]:
    """Give the rows of what locks alone tell."""
    rows = ["| variant | packages, downloaded |", "|---|---|"]
    return [*rows, *(f"| {variant} | {mb(size)} |" for variant, size in packages.items())]


def measured_tables(found: Measured, packages: dict[str, int], mkl: tuple[int, int]) -> list[str]:
    """Give the rows of what was measured, goals beside figures."""
    image, mounted = found.image, found.mounted
    real = found.estimate(packages["linux-64-cpu"], mkl=mkl)
    without_mkl = found.estimate(packages["linux-aarch64-cpu"])
    verdict = "within" if real <= GOAL_BYTES else "over"
    return [
        "",
        "Measured on the tests' channel (the environment of a new project out of wheels, with PyPI's torch for CPU):",
        "",
        "| | |",
        "|---|---|",
        f"| packages, downloaded | {mb(int(str(image['package_bytes'])))} |",
        f"| installed | {mb(found.whole_bytes)} |",
        f"| installed with `--slim`; `verify --deep` of it passes | {mb(found.slim_bytes)} |",
        f"| image with weights | {mb(int(str(image['image_bytes'])))} |",
        f"| image without weights | {mb(int(str(mounted['image_bytes'])))} |",
        "",
        "| left out | files | bytes |",
        "|---|---|---|",
        *(f"| {group} | {files:,} | {mb(size)} |" for group, (files, size) in found.groups.items()),
        "",
        "| layer | bytes |",
        "|---|---|",
        *(f"| `{by[:70]}` | {mb(size)} |" for size, by in found.layers),
        "",
        "| largest packages | installed |",
        "|---|---|",
        *(f"| {package['name']} | {mb(package['bytes'])} |" for package in image["largest"]),  # type: ignore[attr-defined]
        "",
        f"**Estimate** for the real CPU image without weights and without the base: {mb(real)} (linux-64, MKL); goal "
        f"{mb(GOAL_BYTES)}: {verdict} it. Of these {mb(mkl[1])} are MKL, by Intel's wheel of the same version; "
        f"the rest has {found.ratio:.2f} bytes for one of a package, as here when packed at conda-build's level. "
        f"With OpenBLAS in place of MKL, as linux-aarch64 has: {mb(without_mkl)}; [how to choose](../how-to/locks.md).",
        "",
        "| | seconds | |",
        "|---|---|---|",
        f"| `install --slim --copy`, from archives | {found.install_seconds:.1f} | |",
        *(
            f"| `image build {options}`, from archives, the tool's image there | {seconds:.1f} | "
            f"{seconds / found.install_seconds:.2f} times; goal {GOAL_COLD} |"
            for options, seconds in (
                ("--no-cache", found.cold_seconds),
                ("--no-cache --buildkit", found.buildkit_seconds),
            )
        ),
        f"| `image build` after one more line of source | {found.rebuild_seconds:.1f} | goal {GOAL_REBUILD:.0f} s |",
    ]


def main() -> None:
    """Print the tables, and write them into the page."""
    packages = package_bytes()
    lines = computed_table(packages)
    if os.environ.get("QUICK"):
        print("\n".join(lines))
        return
    lacking = docker_engine.missing_means()
    if lacking:
        sys.exit(f"no container can be run here: {lacking}")
    cache = test_cache()
    with (
        tempfile.TemporaryDirectory(prefix="bench-image-") as name,
        docker_engine.private_engine(cache) as host,
        serve(real_channel()) as channel,
    ):
        docker_engine.import_base(host, cache)
        found = Measured(Path(name), host, {**os.environ, **mirrored(channel.url)})
        lines += measured_tables(found, packages, mkl_bytes(Path(name)))
    print("\n".join(lines))
    write_between_markers(PAGE, "image", "\n".join(lines))


if __name__ == "__main__":
    main()
