"""Install a whole environment from warm caches, beside conda-lock and beside venv + pip: `nox -s bench -- install`.

The environment is the tests' real one (torch, transformers, pandas, pyarrow, ...: 61 packages, 25,000 files, 1.2 GB).
Goals: at least 5 times as fast as either, and under 1 s when there is nothing to do. conda-lock is given `mamba`,
`micromamba` or `conda` if one is there, else the tests' stand-in on py-rattler, the quickest of them, which checks
nothing that it takes from its cache. The table lands in docs/explanation/the-proof.md; `--quick` measures once and
only prints.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._tables import write_between_markers  # noqa: E402
from nomic_scaffold.disk.bulk import workers  # noqa: E402
from tests.support import conda_shim  # noqa: E402
from tests.support.channel import mirrored, real_channel, real_wheels  # noqa: E402
from tests.support.conda_package import HERE  # noqa: E402
from tests.support.server import serve  # noqa: E402
from tests.support.wheels import PYTHON  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TOOL = [sys.executable, "-m", "nomic_scaffold"]
GOAL, NOTHING = 5.0, 1.0
PAGE = ROOT / "docs/explanation/the-proof.md"


def run(command: list[str | Path], *, environ: dict[str, str], cwd: Path) -> float:
    """Run a command once; give its wall time in seconds."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{command} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return seconds


PEAK = """
import sys
from nomic_scaffold.cli.main import run
code = run(sys.argv[1:])
rows = dict(row.split(":", 1) for row in open("/proc/self/status"))
print(int(rows["VmHWM"].split()[0]) * 1024, flush=True)
import os
os._exit(code)
"""


def peak(arguments: list[str], *, environ: dict[str, str], cwd: Path) -> int:
    """Run the tool once; give its peak memory in bytes (Linux: getrusage would count this process's own)."""
    command = [sys.executable, "-c", PEAK, *arguments]
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def prepare(folder: Path, environ: dict[str, str]) -> Path:
    """Make a project with the default answers, without a pip section, and lock it."""
    root = folder / "project"
    new = ["new", str(root), "--defaults", "--python", PYTHON, "--platform", HERE, "--variant", "cpu", "--no-git"]
    run([*TOOL, *new], environ=environ, cwd=folder)
    path = root / "environment.yml"
    path.write_text(path.read_text().partition("  - pip:\n")[0])
    run([*TOOL, "lock", "--conda-only"], environ=environ, cwd=root)
    return root


def contenders(root: Path, folder: Path, environ: dict[str, str]) -> dict[str, Callable[[Path], float]]:
    """Give the ways to make the environment: name -> a function of the prefix."""
    found = next((exe for name in ("mamba", "micromamba", "conda") if (exe := shutil.which(name))), None)
    executable = found or str(conda_shim.install(folder))
    with_exe = "conda-lock install, " + (Path(found).name if found else "the stand-in on py-rattler")
    wheels = [str(path) for path in real_wheels()]
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", *wheels]

    def ours(prefix: Path) -> float:
        command: list[str | Path] = [
            *TOOL,
            "--quiet",
            "install",
            "--provider",
            "conda",
            "--variant",
            "cpu",
            "--prefix",
            prefix,
        ]
        return run(command, environ=environ, cwd=root)

    def conda_lock(prefix: Path) -> float:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "conda_lock",
            "install",
            "--conda",
            executable,
            "--prefix",
            prefix,
        ]
        return run([*command, "conda-lock.yml"], environ=environ, cwd=root)

    def venv(prefix: Path) -> float:
        made = run([sys.executable, "-m", "venv", prefix], environ=environ, cwd=root)
        return made + run([prefix / "bin/python", *pip], environ=environ, cwd=root)

    return {"nomic-scaffold install": ours, with_exe: conda_lock, "venv + pip, the same wheels": venv}


def measure(root: Path, folder: Path, environ: dict[str, str]) -> tuple[dict[str, float], float, int]:
    """Run all by turns, so that a busy machine slows all; gives medians, seconds with nothing to do, peak memory."""
    ways = contenders(root, folder, environ)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS + 1):  # the first fills the caches and does not count
        for way, install in ways.items():
            times[way].append(install(folder / "env"))
            shutil.rmtree(folder / "env")
    make = ["-q", "install", "--provider", "conda", "--variant", "cpu", "--prefix", str(folder / "env")]
    memory = peak(make, environ=environ, cwd=root)
    again = statistics.median(next(iter(ways.values()))(folder / "env") for _ in range(ROUNDS))
    return {way: statistics.median(seconds[1:]) for way, seconds in times.items()}, again, memory


def table(medians: dict[str, float], again: float, memory: int) -> str:
    """Write the figures, and what became of the goals, as Markdown."""
    first, *others = medians
    rows = [f"Warm caches; {workers()} processors, median of {ROUNDS} rounds:", "", "| | seconds |", "|---|---|"]
    rows += [f"| {way} | {seconds:.2f} |" for way, seconds in medians.items()]
    rows += [f"| {first}, nothing to do | {again:.2f} |", ""]
    rows += [f"Peak memory of the first: {memory / 1e6:.0f} MB.", "", "| goal | measured | |", "|---|---|---|"]
    goals = [(f"at least {GOAL:g} times as fast as {way}", medians[way] / medians[first], "times") for way in others]
    rows += [f"| {goal} | {value:.1f} {unit} | {_verdict(met=value >= GOAL)} |" for goal, value, unit in goals]
    rows.append(f"| under {NOTHING:g} s with nothing to do | {again:.2f} s | {_verdict(met=again < NOTHING)} |")
    return "\n".join(rows)


def _verdict(*, met: bool) -> str:
    return "met" if met else "**missed**"


def main() -> None:
    """Measure, print, and put the table into the documentation; with `--quick` one round, and only print."""
    quick = "--quick" in sys.argv[1:]
    if quick:
        globals()["ROUNDS"] = 1
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name, serve(real_channel()) as served:
        folder = Path(name)
        environ = {
            **os.environ,
            **mirrored(served.url),
            "NOMIC_SCAFFOLD_PKGS": str(folder / "pkgs"),
            "NOMIC_SCAFFOLD_REPODATA": str(folder / "repodata"),
            "RATTLER_CACHE_DIR": str(folder / "rattler"),
        }
        root = prepare(folder, environ)
        medians, again, memory = measure(root, folder, environ)
    text = table(medians, again, memory)
    print(text)
    if not quick:
        write_between_markers(PAGE, "install", text)
    print(json.dumps({"seconds": medians, "nothing_to_do": again, "peak_bytes": memory}))


if __name__ == "__main__":
    main()
