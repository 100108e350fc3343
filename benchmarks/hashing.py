"""Hash a model file as `weights verify` does, beside `sha256sum`: `nox -s bench -- hashing`. Goal: within 1.2x."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nomic_scaffold.adapters.weights.place import inspect
from nomic_scaffold.models.spec import ModelPin

SIZE = 274_290_560
ROUNDS = 5
GOAL = 1.2


def best(work: Callable[[], object]) -> float:
    """Give the shortest of a few runs, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print both times and their ratio; exit with 1 when the goal is missed."""
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
        ours = best(lambda: inspect(file, pin))
        theirs = best(lambda: subprocess.run([*command, str(file)], check=True, capture_output=True))
    rate = SIZE / 1e6
    print(f"a file of {rate:.0f} MB, in the page cache, best of {ROUNDS}")
    print(f"  nomic-scaffold  {ours:.3f} s  {rate / ours:5.0f} MB/s")
    print(f"  {' '.join([Path(program).name, *command[1:]]):<14}  {theirs:.3f} s  {rate / theirs:5.0f} MB/s")
    print(f"  ratio {ours / theirs:.2f} (goal: at most {GOAL})")
    sys.exit(ours / theirs > GOAL)


if __name__ == "__main__":
    main()
