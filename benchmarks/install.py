"""Install a whole environment from warm caches, beside conda-lock and beside venv + pip: `nox -s bench -- install`.

The environment is the tests' real one (torch, transformers, pandas, pyarrow, ...: 61 packages, 25,000 files, 1.2 GB).
Goal: at least 5 times as fast as either. conda-lock is given `mamba`, `micromamba` or `conda` if one is there, else the
tests' stand-in on py-rattler, which is the quickest of them and checks nothing that it takes from its cache.
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

from tests.support import conda_shim  # noqa: E402
from tests.support.channel import mirrored, real_channel, real_wheels  # noqa: E402
from tests.support.conda_package import HERE  # noqa: E402
from tests.support.server import serve  # noqa: E402
from tests.support.wheels import PYTHON  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TOOL = [sys.executable, "-m", "nomic_scaffold"]
GOAL = 5.0


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


def main() -> None:
    """Run all by turns, so that a busy machine slows all, and print the medians."""
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
        ways = contenders(root, folder, environ)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for round_ in range(ROUNDS + 1):  # the first fills the caches and does not count
            for way, install in ways.items():
                seconds = install(folder / "env")
                shutil.rmtree(folder / "env")
                if round_:
                    times[way].append(seconds)
        first, *others = ways
        make = ["-q", "install", "--provider", "conda", "--variant", "cpu", "--prefix", str(folder / "env")]
        memory = peak(make, environ=environ, cwd=root)
        again = statistics.median(ways[first](folder / "env") for _ in range(ROUNDS))
        medians = {way: statistics.median(seconds) for way, seconds in times.items()}
        for way in ways:
            ratio = medians[way] / medians[first]
            print(f"{way:48} {medians[way]:7.2f} s   {ratio:5.1f}")
        print(f"{'nomic-scaffold install, nothing to do':48} {again:7.2f} s   (goal: under 1 s)")
        print(f"{'its peak memory':48} {memory / 1e6:7.0f} MB")
        worst = min(medians[way] for way in others) / medians[first]
        print(f"goal: {GOAL:g} times as fast as either; the nearest is {worst:.1f} times slower")
        print(json.dumps({"seconds": medians, "nothing_to_do": again, "peak_bytes": memory}))


if __name__ == "__main__":
    main()
