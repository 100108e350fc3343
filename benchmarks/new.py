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
    """Run both by turns, so that a busy machine slows both, and print the medians."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A checkout would make Copier clone its last tag: give it the bare files, as the wheel has them.
        source = folder / "source"
        shutil.copytree(ROOT / "template", source / "template")
        shutil.copy(ROOT / "copier.yml", source)
        for round_ in range(ROUNDS + 1):
            made = str(folder / f"ours-{round_}")
            ours.append(seconds([sys.executable, "-m", "nomic_scaffold", "new", made, "--defaults"]))
            made = str(folder / f"bare-{round_}")
            copier = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", str(source), made]
            bare.append(seconds(copier))
    mine, theirs = statistics.median(ours[1:]), statistics.median(bare[1:])
    print(f"nomic-scaffold new   {mine:6.3f} s  template, locks, first commit")
    print(f"copier copy          {theirs:6.3f} s  template only")
    print(f"ratio {mine / theirs:.2f} (goal {GOAL}): {'met' if mine / theirs <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
