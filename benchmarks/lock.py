"""How fast locks are made and checked: `python benchmarks/lock.py [SNAPSHOT]`.

Everything runs as users run it, as whole processes, against one set of records: a snapshot of conda-forge's
(NOMIC_SCAFFOLD_SNAPSHOT, or beside the repository), else a small made-up channel.  conda-lock locks the same input with
tests/support/conda_shim.py, which solves with the same solver: the difference is what is around it.  mamba, micromamba
and conda take part where there is one.  Wall time counts on an idle machine; processor time says more on a busy one.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.support import conda_shim, records  # noqa: E402
from tests.support.locking import snapshot  # noqa: E402
from tests.support.server import serve  # noqa: E402

FORGE = "https://conda.anaconda.org/conda-forge"
TOOL = [sys.executable, "-m", "nomic_scaffold"]
RUNS = 3


@dataclass(frozen=True)
class Took:
    """One command, with all processes that it started."""

    wall: float
    processor: float
    stdout: str = ""

    def __str__(self) -> str:
        return f"{self.wall:7.3f} s  {self.processor:7.3f} s"


def main() -> None:
    """Print one table."""
    found = Path(sys.argv[1]) if sys.argv[1:] else snapshot()
    with tempfile.TemporaryDirectory(prefix="bench-lock-") as scratch:
        folder = Path(scratch)
        channel = found or records.write(folder / "channel", records.world())
        with serve(channel) as served:
            os.environ |= {
                "NOMIC_SCAFFOLD_MIRRORS": f"{FORGE}={served.url}",
                "NOMIC_SCAFFOLD_REPODATA": str(folder / "repodata"),
                "XDG_CACHE_HOME": str(folder / "cache"),
            }
            project = folder / "project"
            if found:
                run([*TOOL, "-q", "--offline", "new", "--defaults", str(project)])
            else:
                records.project(project)
            load = os.getloadavg()[0]
            print(f"{'a snapshot of conda-forge' if found else 'made-up records'}; {os.cpu_count()} cores", end="; ")
            print(f"median of {RUNS}; load before the start {load:.1f}\n\n{'':<34}    wall      processor")
            ours = lock(project)
            changed(project)
            check(project)
            theirs(project, folder, ours)


def lock(project: Path) -> Took:
    """Measure the conda part of all variants from a warm cache of records."""
    command = [*TOOL, "--format", "json", "-C", str(project), "lock", "--fresh", "--conda-only"]
    run(command)
    took = median([run(command) for _ in range(RUNS)])
    told = json.loads(took.stdout)["variants"]
    packages = sum(item["packages"] for item in told)
    rattler = max(item["solver_seconds"] for item in told)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"lock --fresh, {len(told)} variants           {took}")
    print(
        f"  {packages / took.wall:.0f} packages a second, {100 * rattler / took.wall:.0f} % of the time in rattler",
        end="",
    )
    print(f", peak memory {peak:.0f} MB")
    return took


def changed(project: Path) -> None:
    """Measure what people do most: one requirement changed, everything else kept."""
    file = project / "environment.yml"
    before = file.read_text(encoding="utf-8")
    command = [*TOOL, "-C", str(project), "lock", "--conda-only"]
    took = []
    for number in range(RUNS):
        file.write_text(before.replace("  - python 3.13.*\n", f"  - python 3.13.*,>=3.{number}\n", 1), encoding="utf-8")
        took.append(run(command))
    file.write_text(before, encoding="utf-8")
    run(command)
    print(f"lock after a change                {median(took)}")


def check(project: Path) -> None:
    """Measure `lock --check` against the start of the interpreter alone."""
    ours = [run([*TOOL, "-C", str(project), "lock", "--check"], ok={0, 3}) for _ in range(4 * RUNS)]
    bare = [run([sys.executable, "-c", "import click, yaml"]) for _ in range(4 * RUNS)]
    print(f"lock --check                       {median(ours)}")
    print(f"  python with click and yaml       {median(bare)}")


def theirs(project: Path, folder: Path, ours: Took) -> None:
    """Measure conda-lock on the same input, with every executable that is here."""
    programs = {"the stand-in": str(conda_shim.install(folder))}
    programs |= {name: path for name in ("micromamba", "mamba", "conda") if (path := shutil.which(name))}
    (folder / "names.json").write_text("{}")
    for name, program in programs.items():
        took = []
        for accelerator in ("cpu", "cuda"):
            lockfile = folder / f"{accelerator}-{name.replace(' ', '-')}.yml"
            command = [sys.executable, "-m", "conda_lock", "lock", "--conda", program, "--lockfile", str(lockfile)]
            command += ["-f", "environment.yml", "-f", f"locks/{accelerator}.environment.yml"]
            command += ["--virtual-package-spec", f"locks/{accelerator}.virtual-packages.yml"]
            command += ["--pypi_to_conda_lookup_file", str(folder / "names.json")]
            took.append(run(command, cwd=without_pip(project, folder)))
        both = Took(sum(item.wall for item in took), sum(item.processor for item in took))
        print(f"conda-lock with {name:<18} {both}")
        print(
            f"  times `lock --fresh`: wall {both.wall / ours.wall:.1f}, processor {both.processor / ours.processor:.1f}"
        )


def without_pip(project: Path, folder: Path) -> Path:
    """Copy the inputs without their pip section: the conda part is what is compared."""
    copy = folder / "conda-part"
    if not copy.exists():
        shutil.copytree(project / "locks", copy / "locks")
        text = (project / "environment.yml").read_text(encoding="utf-8")
        (copy / "environment.yml").write_text(text.partition("  - pip:")[0], encoding="utf-8")
    return copy


def median(took: list[Took]) -> Took:
    """Give the medians of both times."""
    wall, processor = (statistics.median(item) for item in zip(*((t.wall, t.processor) for t in took), strict=True))
    return Took(wall, processor, took[-1].stdout)


def run(command: list[str], *, cwd: Path | None = None, ok: frozenset[int] | set[int] = frozenset({0})) -> Took:
    """Run to the end; the benchmark ends with what the command said when it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in ok:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall, processor, done.stdout)


if __name__ == "__main__":
    main()
