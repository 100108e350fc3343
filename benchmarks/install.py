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
from tests.support.server import serve  # noqa: E402
from tests.support.wheels import PYTHON  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
TOOL = [sys.executable, "-m", "nomic_scaffold"]
GOAL = 5.0


def run(command: list[str | Path], *, environ: dict[str, str], cwd: Path) -> tuple[float, int]:
    """Run a command once; give its wall time in seconds and its peak memory in bytes (of it alone)."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environ, cwd=cwd, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{command} failed:\n{said.read().decode(errors='replace')[-3000:]}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def prepare(folder: Path, environ: dict[str, str]) -> Path:
    """Make a project with the default answers, without a pip section, and lock it."""
    root = folder / "project"
    new = ["new", str(root), "--defaults", "--python", PYTHON, "--platform", "linux-64", "--variant", "cpu", "--no-git"]
    run([*TOOL, *new], environ=environ, cwd=folder)
    path = root / "environment.yml"
    path.write_text(path.read_text().partition("  - pip:\n")[0])
    run([*TOOL, "lock", "--conda-only"], environ=environ, cwd=root)
    return root


def contenders(root: Path, folder: Path, environ: dict[str, str]) -> dict[str, Callable[[Path], tuple[float, int]]]:
    """Give the ways to make the environment: name -> a function of the prefix."""
    found = next((exe for name in ("mamba", "micromamba", "conda") if (exe := shutil.which(name))), None)
    executable = found or str(conda_shim.install(folder))
    with_exe = "conda-lock install, " + (Path(found).name if found else "the stand-in on py-rattler")
    wheels = [str(path) for path in real_wheels()]
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", *wheels]

    def ours(prefix: Path) -> tuple[float, int]:
        command = [*TOOL, "--quiet", "install", "--provider", "conda", "--variant", "cpu", "--prefix", prefix]
        return run(command, environ=environ, cwd=root)

    def conda_lock(prefix: Path) -> tuple[float, int]:
        command = [sys.executable, "-m", "conda_lock", "install", "--conda", executable, "--prefix", prefix]
        return run([*command, "conda-lock.yml"], environ=environ, cwd=root)

    def venv(prefix: Path) -> tuple[float, int]:
        made, _ = run([sys.executable, "-m", "venv", prefix], environ=environ, cwd=root)
        filled, peak = run([prefix / "bin/python", *pip], environ=environ, cwd=root)
        return made + filled, peak

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
        peaks: dict[str, int] = dict.fromkeys(ways, 0)
        for round_ in range(ROUNDS + 1):  # the first fills the caches and does not count
            for way, install in ways.items():
                seconds, peak = install(folder / "env")
                shutil.rmtree(folder / "env")
                if round_:
                    times[way].append(seconds)
                    peaks[way] = max(peaks[way], peak)
        first, *others = ways
        ways[first](folder / "env")
        again = min(ways[first](folder / "env")[0] for _ in range(ROUNDS))
        medians = {way: statistics.median(seconds) for way, seconds in times.items()}
        for way in ways:
            ratio = medians[way] / medians[first]
            print(f"{way:48} {medians[way]:7.2f} s   {ratio:5.1f}   peak {peaks[way] / 1e6:4.0f} MB")
        print(f"{'nomic-scaffold install, nothing to do':48} {again:7.2f} s   (goal: under 1 s)")
        worst = min(medians[way] for way in others) / medians[first]
        print(f"goal: {GOAL:g} times as fast as either; the nearest is {worst:.1f} times slower")
        print(json.dumps({"seconds": medians, "nothing_to_do": again, "peak_bytes": peaks}))


if __name__ == "__main__":
    main()
