"""Make a project, beside a bare `copier copy` of the same template: `nox -s bench -- new`. Goal: within 1.3 times.

The table lands in docs/explanation/tool-speed.md; `--quick` measures once and only prints.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._tables import finish, goals, rows

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
GOAL = 1.3


def seconds(command: list[str]) -> float:
    """Run a command once; give its wall time."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Run all by turns, so that a busy machine slows all; print the medians, and put them into the documentation."""
    quick = "--quick" in sys.argv[1:]
    rounds = 1 if quick else ROUNDS
    times: dict[str, list[float]] = {"offline": [], "bare": [], "online": []}
    tool = [sys.executable, "-m", "nomic_scaffold"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A checkout would make Copier clone its last tag: give it the bare files, as the wheel has them.
        source = folder / "source"
        shutil.copytree(ROOT / "template", source / "template")
        shutil.copy(ROOT / "copier.yml", source)
        for number in range(rounds + 1):
            times["offline"].append(seconds([*tool, "--offline", "new", str(folder / f"a{number}"), "--defaults"]))
            bare = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", str(source)]
            times["bare"].append(seconds([*bare, str(folder / f"b{number}")]))
            times["online"].append(seconds([*tool, "new", str(folder / f"c{number}"), "--defaults"]))
    offline, bare_, online = (statistics.median(some[1:]) for some in times.values())
    measured = rows(
        ("", "seconds", "what it makes"),
        ("`copier copy`", f"{bare_:.2f}", "the template's files"),
        ("`nomic-scaffold --offline new`", f"{offline:.2f}", "the same, the shipped locks, the first commit"),
        ("`nomic-scaffold new`", f"{online:.2f}", "and the pip section locked where an index answers"),
    )
    ratio = offline / bare_
    held = goals((f"at most {GOAL} times `copier copy`: `--offline new`", f"{ratio:.2f} times", ratio <= GOAL))
    page = ROOT / "docs/explanation/tool-speed.md"
    finish(page, "new", f"Median of {rounds} rounds, by turns:\n\n{measured}\n\n{held}", quick=quick)


if __name__ == "__main__":
    main()
