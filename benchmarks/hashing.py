"""Hash a model file as `weights verify` does, beside `sha256sum`: `nox -s bench -- hashing`. Goal: within 1.2 times.

The table lands in docs/explanation/tool-speed.md; `--quick` measures once and only prints.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._tables import finish, goals, rows
from nomic_scaffold.adapters.weights.place import inspect
from nomic_scaffold.models.spec import ModelPin

PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/tool-speed.md"

SIZE = 274_290_560
ROUNDS = 5
GOAL = 1.2


def best(work: Callable[[], object], rounds: int) -> float:
    """Give the shortest of a few runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure, print, and put the table into the documentation."""
    quick = "--quick" in sys.argv[1:]
    rounds = 1 if quick else ROUNDS
    program = next((found for name in ("sha256sum", "gsha256sum", "shasum") if (found := shutil.which(name))), None)
    if program is None:
        sys.exit("needs sha256sum to compare with")
    command = [program, *(["-a", "256"] if program.endswith("shasum") else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        file.write_bytes(bytes(SIZE))
        pin = ModelPin(
            repository="a/b", revision="0" * 40, file=file.name, sha256="0" * 64, size=SIZE, dimension=768, max_tokens=1
        )
        ours = best(lambda: inspect(file, pin), rounds)
        theirs = best(lambda: subprocess.run([*command, str(file)], check=True, capture_output=True), rounds)
    size, ratio = SIZE / 1e6, ours / theirs
    other = f"`{' '.join([Path(program).name, *command[1:]])}`"
    measured = rows(
        ("", "seconds", "MB/s"),
        ("`weights verify`, the look at the file", f"{ours:.3f}", f"{size / ours:.0f}"),
        (other, f"{theirs:.3f}", f"{size / theirs:.0f}"),
    )
    held = goals((f"at most {GOAL} times {other}", f"{ratio:.2f} times", ratio <= GOAL))
    head = f"A file of {size:.0f} MB, in the page cache, best of {rounds}:"
    finish(PAGE, "hashing", f"{head}\n\n{measured}\n\n{held}", quick=quick)


if __name__ == "__main__":
    main()
