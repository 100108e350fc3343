"""Make a project, beside a bare `copier copy` of the same template: `nox -s bench -- new`. Goal: within 1.3x."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
GOAL = 1.3


def seconds(command: list[str]) -> float:
    """Run a command once; give its wall time."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Run all by turns, so that a busy machine slows all, and print the medians."""
    times: dict[str, list[float]] = {"offline": [], "bare": [], "online": []}
    tool = [sys.executable, "-m", "nomic_scaffold"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A checkout would make Copier clone its last tag: give it the bare files, as the wheel has them.
        source = folder / "source"
        shutil.copytree(ROOT / "template", source / "template")
        shutil.copy(ROOT / "copier.yml", source)
        for number in range(ROUNDS + 1):
            times["offline"].append(seconds([*tool, "--offline", "new", str(folder / f"a{number}"), "--defaults"]))
            bare = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", str(source)]
            times["bare"].append(seconds([*bare, str(folder / f"b{number}")]))
            times["online"].append(seconds([*tool, "new", str(folder / f"c{number}"), "--defaults"]))
    offline, bare_, online = (statistics.median(some[1:]) for some in times.values())
    print(f"copier copy                      {bare_:6.3f} s  the template's files")
    print(f"nomic-scaffold --offline new     {offline:6.3f} s  the same, the shipped locks, the first commit")
    print(f"nomic-scaffold new               {online:6.3f} s  and the pip section locked where an index answers")
    print(f"ratio {offline / bare_:.2f} (goal {GOAL}): {'met' if offline / bare_ <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
