"""How fast locks are made and checked: `python benchmarks/lock.py [--quick] [SNAPSHOT]`.

Everything runs as users run it, as whole processes, against one set of records: a snapshot of conda-forge's
(NOMIC_SCAFFOLD_SNAPSHOT, or beside the repository), else a small made-up channel.  conda-lock locks the same input with
tests/support/conda_shim.py, which solves with the same solver: the difference is what is around it.  mamba, micromamba
and conda take part where there is one.  Everybody has one run to warm the caches, and then the median of seven counts.
Against the others each run is followed by one of theirs, and the median of the ratios counts: machines have moods.
The pip section is left out: an index over the network is not what is measured.  Wall time counts on an idle machine;
processor time says more on a busy one.  The table goes between the markers of docs/explanation/lock-format.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
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

from benchmarks._tables import write_between_markers  # noqa: E402
from tests.support import conda_shim, records  # noqa: E402
from tests.support.locking import snapshot  # noqa: E402
from tests.support.server import serve  # noqa: E402

FORGE = "https://conda.anaconda.org/conda-forge"
PAGE = REPOSITORY / "docs" / "explanation" / "lock-format.md"
TOOL = [sys.executable, "-m", "nomic_scaffold"]
OTHERS = ("micromamba", "mamba", "conda")


@dataclass(frozen=True)
class Took:
    """One command, with all processes that it started."""

    wall: float
    processor: float
    stdout: str = ""


class Bench:
    """One project against one channel; each method measures one thing and gives rows of the table."""

    def __init__(self, folder: Path, project: Path, url: str, *, runs: int) -> None:
        self.folder, self.project, self.url, self.runs = folder, project, url, runs

    def tool(self, *arguments: str) -> list[str]:
        """Give a command of the tool in the project."""
        return [*TOOL, "--format", "json", "-C", str(self.project), *arguments]

    def first(self) -> list[str]:
        """Measure the first lock of a project, from a warm cache of records: there is nothing to keep."""
        self._first()
        middle = median([self._first() for _ in range(self.runs)])
        return [row(f"first `lock`, {variants(middle)} variants", middle, "< 3 s")]

    def _first(self) -> Took:
        self._no_locks()
        return run(self.tool("lock", "--conda-only"))

    def fresh(self) -> tuple[Took, list[str]]:
        """Measure the conda part of all variants, everything solved anew."""
        command = self.tool("lock", "--fresh", "--conda-only")
        run(command)
        took = median([run(command) for _ in range(self.runs)])
        told = json.loads(took.stdout)["variants"]
        packages = sum(item["packages"] for item in told)
        rattler = max(item["solver_seconds"] for item in told)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        return took, [
            row(f"`lock --fresh`, {len(told)} variants, {packages} packages", took, "< 3 s"),
            f"| packages a second | {packages / took.wall:,.0f} | {packages / took.processor:,.0f} | |",
            f"| share of the time in rattler | {100 * min(1.0, rattler / took.wall):.0f} % | | |",
            f"| peak memory | {peak:,.0f} MB | | < 600 MB |",
        ]

    def changed(self) -> list[str]:
        """Measure what people do most: one requirement changed, everything else kept."""
        file = self.project / "environment.yml"
        before = file.read_text(encoding="utf-8")
        took = []
        for number in range(self.runs):
            text = before.replace("  - python 3.13.*\n", f"  - python 3.13.*,>=3.{number}\n", 1)
            file.write_text(text, encoding="utf-8")
            took.append(run(self.tool("lock", "--conda-only")))
        file.write_text(before, encoding="utf-8")
        run(self.tool("lock", "--conda-only"))
        return [row("`lock` after a changed requirement", median(took), "")]

    def check(self) -> list[str]:
        """Measure `lock --check` of whole and fresh locks, against the start of the interpreter alone."""
        ours = [run([*TOOL, "-C", str(self.project), "lock", "--check"]) for _ in range(2 * self.runs)]
        bare = [run([sys.executable, "-c", "import click, yaml"]) for _ in range(2 * self.runs)]
        return [
            row("`lock --check`", median(ours), "< 0.3 s"),
            row("Python with click and yaml, for comparison", median(bare), ""),
        ]

    def theirs(self) -> list[str]:
        """Measure conda-lock on the same input, with every executable that is here."""
        (self.folder / "names.json").write_text("{}")
        rows = self._with("a stand-in for conda", str(conda_shim.install(self.folder)), FORGE, goal=5)
        for name in OTHERS:
            if path := shutil.which(name):
                rows += self._with(name, path, self.url, goal=20)
        absent = [name for name in OTHERS if not shutil.which(name)]
        return [*rows, *(f"| conda-lock with {name} | not here | | |" for name in absent)]

    def _with(self, name: str, program: str, channel: str, *, goal: int) -> list[str]:
        inputs = self.folder / f"inputs for {name}"
        shutil.copytree(self.project / "locks", inputs / "locks")
        text = (self.project / "environment.yml").read_text(encoding="utf-8")
        # Only our stand-in knows of mirrors: the others are told where the records are served.
        text = text.replace("- conda-forge\n", f"- {channel}\n", 1) if channel != FORGE else text
        (inputs / "environment.yml").write_text(text, encoding="utf-8")
        runs = []
        for _ in range(1 + self.runs):
            took, ours = [], self._first()
            for accelerator in ("cpu", "cuda"):
                lockfile = inputs / f"{accelerator}-lock.yml"
                lockfile.unlink(missing_ok=True)
                command = [sys.executable, "-m", "conda_lock", "lock", "--conda", program, "--lockfile", str(lockfile)]
                command += ["-f", "environment.yml", "-f", f"locks/{accelerator}.environment.yml"]
                command += ["--virtual-package-spec", f"locks/{accelerator}.virtual-packages.yml"]
                command += ["--pypi_to_conda_lookup_file", str(self.folder / "names.json")]
                took.append(run(command, cwd=inputs))
            runs.append((ours, Took(sum(item.wall for item in took), sum(item.processor for item in took))))
        both = median([both for _, both in runs[1:]])
        wall = statistics.median(both.wall / ours.wall for ours, both in runs[1:])
        times = f"{wall:.1f} | {statistics.median(both.processor / ours.processor for ours, both in runs[1:]):.1f}"
        times = f"| &nbsp; times the first `lock` | {times} | >= {goal} of wall time |"
        return [row(f"conda-lock with {name}", both, ""), times]

    def _no_locks(self) -> None:
        for path in [self.project / "conda-lock.yml", *(self.project / "locks").rglob("*")]:
            if path.is_file() and path.name not in ("pylock.toml", "golden.json", "weights.json"):
                path.unlink()


def main() -> None:
    """Measure, print one table, and write the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("snapshot", nargs="?", type=Path, default=snapshot(), metavar="SNAPSHOT")
    options.add_argument("--quick", action="store_true", help="one run of each, and nothing is written")
    chosen = options.parse_args()
    runs, found = 1 if chosen.quick else 7, chosen.snapshot
    with tempfile.TemporaryDirectory(prefix="bench-lock-") as scratch:
        folder = Path(scratch)
        channel = found or records.write(folder / "channel", records.world())
        with serve(channel) as served:
            os.environ |= {
                "NOMIC_SCAFFOLD_MIRRORS": f"{FORGE}={served.url}",
                "NOMIC_SCAFFOLD_REPODATA": str(folder / "repodata"),
                "XDG_CACHE_HOME": str(folder / "cache"),
            }
            load = os.getloadavg()[0]
            text = table(Bench(folder, project(folder, real=bool(found)), served.url, runs=runs))
    about = f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    kind = "a snapshot of conda-forge's records" if found else "made-up records"
    load_text = f"load before the start {load:.1f}, after it {os.getloadavg()[0]:.1f}"
    text = f"{about}; {kind}; median of {runs} after one to warm the caches; {load_text}.\n\n{text}"
    print(text)
    if found and not chosen.quick:
        write_between_markers(PAGE, "lock", f"\n{text}\n")
        print(f"wrote {PAGE.relative_to(REPOSITORY)}", file=sys.stderr)


def table(bench: Bench) -> str:
    """Measure everything; give the table."""
    rows = bench.first()
    _, more = bench.fresh()
    rows += [*more, *bench.changed(), *bench.check(), *bench.theirs()]
    return "\n".join(["| | wall | processor | goal |", "|---|---|---|---|", *rows])


def project(folder: Path, *, real: bool) -> Path:
    """Make a project whose locks are whole without an index: no pip section, and a pylock.toml that is fresh."""
    root = folder / "project"
    run([*TOOL, "-q", "--offline", "new", "--defaults", str(root)])
    environment = root / "environment.yml"
    text = environment.read_text(encoding="utf-8")
    if not real:
        asked = "".join(f"  - {item}\n" for item in ("python 3.13.*", "pytorch >=2", "numpy >=2", "rich"))
        text = f"{text.partition('dependencies:')[0]}dependencies:\n{asked}"
        scaffold = root / "scaffold.toml"
        builds = re.sub(r'"pytorch \* (cpu|cuda)[^"]*"', r'"pytorch * \1*"', scaffold.read_text(encoding="utf-8"))
        scaffold.write_text(builds, encoding="utf-8")
    environment.write_text(text.partition("  - pip:")[0], encoding="utf-8")
    return root


def variants(took: Took) -> int:
    """Count what a lock told of."""
    return len(json.loads(took.stdout)["variants"])


def row(name: str, took: Took, goal: str) -> str:
    """Write one row of the table."""
    return f"| {name} | {took.wall:.2f} s | {took.processor:.2f} s | {goal} |"


def median(took: list[Took]) -> Took:
    """Give the medians of both times."""
    wall, busy = (statistics.median(item) for item in zip(*((t.wall, t.processor) for t in took), strict=True))
    return Took(wall, busy, took[-1].stdout)


def run(command: list[str], *, cwd: Path | None = None) -> Took:
    """Run to the end; the benchmark ends with what the command said when it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall, busy, done.stdout)


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
