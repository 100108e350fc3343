"""How fast locks are made and checked: `python benchmarks/lock.py [SNAPSHOT]`.

Everything runs as users run it, as whole processes, against one set of records: a snapshot of conda-forge's
(NOMIC_SCAFFOLD_SNAPSHOT, or beside the repository), else a small made-up channel.  conda-lock locks the same input with
tests/support/conda_shim.py, which solves with the same solver: the difference is what is around it.  mamba, micromamba
and conda take part where there is one.
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
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.support import conda_shim, records  # noqa: E402
from tests.support.locking import snapshot  # noqa: E402
from tests.support.server import serve  # noqa: E402

FORGE = "https://conda.anaconda.org/conda-forge"
TOOL = [sys.executable, "-m", "nomic_scaffold"]
RUNS = 3


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
            print(f"records: {found or 'made up'}; {os.cpu_count()} cores; median of {RUNS} runs, whole processes\n")
            ours = lock(project)
            changed(project)
            check(project)
            theirs(project, folder, ours)


def lock(project: Path) -> float:
    """Measure the conda part of all variants from a warm cache of records."""
    command = [*TOOL, "--format", "json", "-C", str(project), "lock", "--fresh", "--conda-only"]
    run(command)
    seconds, told = [], {}
    for _ in range(RUNS):
        start = time.perf_counter()
        told = json.loads(run(command))
        seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds)
    packages = sum(item["packages"] for item in told["variants"])
    rattler = max(item["solver_seconds"] for item in told["variants"])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"lock --fresh, {len(told['variants'])} variants  {middle:6.2f} s   {packages / middle:.0f} packages a second"
    )
    print(
        f"  until rattler was done with the last variant: {rattler:.2f} s, {100 * rattler / middle:.0f} % of the time"
    )
    print(f"  peak memory {peak:.0f} MB")
    return middle


def changed(project: Path) -> None:
    """Measure what people do most: one requirement more, everything else kept."""
    file = project / "environment.yml"
    before = file.read_text(encoding="utf-8")
    run([*TOOL, "-C", str(project), "lock", "--conda-only"])
    seconds = []
    for number in range(RUNS):
        file.write_text(before.replace("  - pip\n", f"  - pip >={number}\n", 1), encoding="utf-8")
        seconds.append(timed([*TOOL, "-C", str(project), "lock", "--conda-only"]))
    file.write_text(before, encoding="utf-8")
    run([*TOOL, "-C", str(project), "lock", "--conda-only"])
    print(f"lock after a change       {statistics.median(seconds):6.2f} s   conda-lock's hashes computed anew")


def check(project: Path) -> None:
    """Measure `lock --check` against the start of the interpreter alone."""
    ours = [timed([*TOOL, "-C", str(project), "lock", "--check"], ok={0, 3}) for _ in range(4 * RUNS)]
    bare = [timed([sys.executable, "-c", "import click, yaml"]) for _ in range(4 * RUNS)]
    print(
        f"lock --check              {statistics.median(ours):6.3f} s   "
        f"(python with click and yaml: {statistics.median(bare):.3f} s; slowest check {max(ours):.3f} s)"
    )


def theirs(project: Path, folder: Path, ours: float) -> None:
    """Measure conda-lock on the same input, with every executable that is here."""
    programs = {"the stand-in": str(conda_shim.install(folder))}
    programs |= {name: path for name in ("micromamba", "mamba", "conda") if (path := shutil.which(name))}
    (folder / "names.json").write_text("{}")
    for name, program in programs.items():
        seconds = 0.0
        for accelerator in ("cpu", "cuda"):
            lockfile = folder / f"{accelerator}-{name.replace(' ', '-')}.yml"
            command = [sys.executable, "-m", "conda_lock", "lock", "--conda", program, "--lockfile", str(lockfile)]
            command += ["-f", "environment.yml", "-f", f"locks/{accelerator}.environment.yml"]
            command += ["--virtual-package-spec", f"locks/{accelerator}.virtual-packages.yml"]
            command += ["--pypi_to_conda_lookup_file", str(folder / "names.json")]
            seconds += timed(command, cwd=without_pip(project, folder))
        print(f"conda-lock with {name:<10}{seconds:6.2f} s   {seconds / ours:.1f} times as long as `lock --fresh`")


def without_pip(project: Path, folder: Path) -> Path:
    """Copy the inputs without their pip section: the conda part is what is compared."""
    copy = folder / "conda-part"
    if not copy.exists():
        shutil.copytree(project / "locks", copy / "locks")
        text = (project / "environment.yml").read_text(encoding="utf-8")
        (copy / "environment.yml").write_text(text.partition("  - pip:")[0], encoding="utf-8")
    return copy


def timed(command: list[str], *, cwd: Path | None = None, ok: frozenset[int] | set[int] = frozenset({0})) -> float:
    """Run and give the seconds."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in ok:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return seconds


def run(command: list[str]) -> str:
    """Run and give stdout."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
