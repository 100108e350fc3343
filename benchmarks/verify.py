"""Prove a whole environment, beside `find | xargs sha256sum` over the same files: `nox -s bench -- verify`.

Goals: `--deep` at least 0.9 times the throughput of sha256sum on all processors, fast mode under 0.5 s for 20,000
files, peak memory under 200 MB. Both readers find everything in the page cache.
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
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import install as bench_install  # noqa: E402

from tests.support.channel import mirrored, real_channel  # noqa: E402
from tests.support.conda_package import HERE  # noqa: E402
from tests.support.server import serve  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
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
        f"find . -type f -print0 | xargs -0 -n 500 -P {os.cpu_count()} sha256sum > /dev/null",
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


def main() -> None:
    """Run all by turns, so that a busy machine slows all, and print the medians."""
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
        verify = [*bench_install.TOOL, "verify", "--only", "environment", "--prefix", str(prefix)]
        times: dict[str, list[float]] = {}
        peaks: dict[str, int] = {}
        files = size = 0
        for _ in range(ROUNDS + 1):
            times.setdefault("find | xargs sha256sum", []).append(sha256sum(prefix))
            seconds, files, size = inside(root, prefix, "deep", environ)
            times.setdefault("deep, the look alone", []).append(seconds)
            times.setdefault("fast, the look alone", []).append(inside(root, prefix, "fast", environ)[0])
            for label, more in (("verify --only environment --deep", ["--deep"]), ("verify --only environment", [])):
                seconds = bench_install.run([*verify, *more], environ=environ, cwd=root)
                times.setdefault(label, []).append(seconds)
                if label not in peaks:
                    peaks[label] = bench_install.peak([*verify[3:], *more], environ=environ, cwd=root)
        medians = {label: statistics.median(seconds[1:]) for label, seconds in times.items()}
        print(f"{files} files, {size / 1e6:.0f} MB")
        for label, seconds in medians.items():
            rate = f"{size / 1e6 / seconds:6.0f} MB/s" if "fast" not in label and label != verify[-1] else ""
            peak = f"peak {peaks[label] / 1e6:.0f} MB" if label in peaks else ""
            print(f"{label:36} {seconds:7.2f} s  {rate:12} {peak}")
        ratio = medians["find | xargs sha256sum"] / medians["deep, the look alone"]
        print(f"goal: 0.9 times the throughput of sha256sum; it is {ratio:.2f} times")
        fast = medians["fast, the look alone"]
        print(
            f"goal: under 0.5 s for 20,000 files; it is {fast * 20_000 / files:.2f} s for 20,000, {fast:.2f} s for all"
        )
        print(json.dumps({"seconds": medians, "files": files, "bytes": size, "peak_bytes": peaks}))


if __name__ == "__main__":
    main()
