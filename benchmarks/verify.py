"""Prove a whole environment, beside `find | xargs sha256sum` over the same files: `nox -s bench -- verify`.

Goals: `--deep` at least 0.9 times the throughput of sha256sum on all processors, fast mode under 0.5 s for 20,000
files, peak memory under 200 MB. Both readers find everything in the page cache. The table lands in
docs/explanation/the-proof.md; `--quick` measures once and only prints.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import install as bench_install  # noqa: E402
from benchmarks._tables import write_between_markers  # noqa: E402
from nomic_scaffold.disk.bulk import workers  # noqa: E402
from tests.support.channel import mirrored, real_channel  # noqa: E402
from tests.support.conda_package import HERE  # noqa: E402
from tests.support.server import serve  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
THROUGHPUT, SECONDS, MEMORY = 0.9, 0.5, 200
PAGE = ROOT / "docs/explanation/the-proof.md"
SHELL = f"`find . -type f -print0 \\| xargs -0 -n 500 -P {workers()} sha256sum`"
INSIDE = """
import sys, time
from pathlib import Path
from nomic_scaffold.adapters import lock_files
from nomic_scaffold.adapters.conda.inspect import describe, inspect
from nomic_scaffold.models.variant import Accelerator, Platform
root, prefix, deep = Path(sys.argv[1]), describe(Path(sys.argv[2])), sys.argv[3] == "deep"
packages = lock_files.locked_packages(root, Accelerator.CPU, Platform(sys.argv[4]))
start = time.perf_counter()
found = inspect(prefix, packages=packages, platform=Platform(sys.argv[4]), deep=deep)
print(time.perf_counter() - start, found.files, found.bytes_read, len(found.findings))
"""


def sha256sum(prefix: Path) -> float:
    """Hash every file as a shell would, on all processors."""
    start = time.perf_counter()
    subprocess.run(
        f"find . -type f -print0 | xargs -0 -n 500 -P {workers()} sha256sum > /dev/null",
        shell=True,
        cwd=prefix,
        check=True,
    )
    return time.perf_counter() - start


def inside(root: Path, prefix: Path, depth: str, environ: dict[str, str]) -> tuple[float, int, int]:
    """Look at the environment in a fresh process; gives seconds of the look, files and bytes read."""
    command = [sys.executable, "-c", INSIDE, str(root), str(prefix), depth, HERE]
    seconds, files, size, findings = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True
    ).stdout.split()
    assert findings == "0", "the environment is not whole"
    return float(seconds), int(files), int(size)


DEEP, FAST = "`verify --only environment --deep`, the whole command", "`verify --only environment`, the whole command"
LOOK_DEEP, LOOK_FAST = "the deep look alone", "the fast look alone"


def measure(root: Path, prefix: Path, environ: dict[str, str]) -> tuple[dict[str, float], dict[str, int], int, int]:
    """Run all by turns, so that a busy machine slows all; gives medians, peaks, files and bytes."""
    verify = [*bench_install.TOOL, "verify", "--only", "environment", "--prefix", str(prefix)]
    times: dict[str, list[float]] = {}
    files = size = 0
    for _ in range(ROUNDS + 1):
        times.setdefault(SHELL, []).append(sha256sum(prefix))
        seconds, files, size = inside(root, prefix, "deep", environ)
        times.setdefault(LOOK_DEEP, []).append(seconds)
        times.setdefault(LOOK_FAST, []).append(inside(root, prefix, "fast", environ)[0])
        for label, more in ((DEEP, ["--deep"]), (FAST, [])):
            times.setdefault(label, []).append(bench_install.run([*verify, *more], environ=environ, cwd=root))
    peaks = {
        label: bench_install.peak([*verify[3:], *more], environ=environ, cwd=root)
        for label, more in ((DEEP, ["--deep"]), (FAST, []))
    }
    return {label: statistics.median(seconds[1:]) for label, seconds in times.items()}, peaks, files, size


def goals(medians: dict[str, float], peaks: dict[str, int], files: int) -> list[tuple[str, str, bool]]:
    """Hold the figures against the goals: (goal, figure, whether it is met)."""
    found = []
    for label in (LOOK_DEEP, DEEP):
        ratio = medians[SHELL] / medians[label]
        what = f"at least {THROUGHPUT:g} times the throughput of `sha256sum`: {label}"
        found.append((what, f"{ratio:.2f} times", ratio >= THROUGHPUT))
    fast = medians[LOOK_FAST] * 20_000 / files
    found.append((f"under {SECONDS:g} s for 20,000 files: {LOOK_FAST}", f"{fast:.2f} s", fast < SECONDS))
    for label, peak in peaks.items():
        found.append((f"peak memory under {MEMORY} MB: {label}", f"{peak / 1e6:.0f} MB", peak < MEMORY * 10**6))
    return found


def table(medians: dict[str, float], peaks: dict[str, int], files: int, size: int) -> str:
    """Write the figures, and what became of the goals, as Markdown."""
    head = (
        f"{files:,} files, {size / 1e6:,.0f} MB, in the page cache; {workers()} processors, median of {ROUNDS} rounds:"
    )
    rows = [head, "", "| | seconds |", "|---|---|"]
    rows += [f"| {label} | {seconds:.2f} |" for label, seconds in medians.items()]
    rows += ["", "| goal | measured | |", "|---|---|---|"]
    rows += [
        f"| {goal} | {figure} | {'met' if met else '**missed**'} |"
        for goal, figure, met in goals(medians, peaks, files)
    ]
    return "\n".join(rows)


def main() -> None:
    """Measure, print, and put the table into the documentation; with `--quick` one round, and only print."""
    quick = "--quick" in sys.argv[1:]
    if quick:
        globals()["ROUNDS"] = 1
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name, serve(real_channel()) as served:
        folder = Path(name)
        prefix = folder / "env"
        environ = {
            **os.environ,
            **mirrored(served.url),
            "NOMIC_SCAFFOLD_PKGS": str(folder / "pkgs"),
            "NOMIC_SCAFFOLD_REPODATA": str(folder / "repodata"),
        }
        root = bench_install.prepare(folder, environ)
        make = ["--quiet", "install", "--provider", "conda", "--variant", "cpu", "--prefix", str(prefix)]
        bench_install.run([*bench_install.TOOL, *make], environ=environ, cwd=root)
        medians, peaks, files, size = measure(root, prefix, environ)
    text = table(medians, peaks, files, size)
    print(text)
    print(json.dumps({"seconds": medians, "files": files, "bytes": size, "peak_bytes": peaks}))
    if not quick:
        write_between_markers(PAGE, "verify", text)


if __name__ == "__main__":
    main()
