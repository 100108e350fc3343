"""How large the wheel is: `nox -s bench -- wheel`. Goal: under 5 MB.

The table lands in docs/explanation/tool-speed.md; `--quick` only prints.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._tables import finish, goals

ROOT = Path(__file__).resolve().parents[1]
GOAL = 5_000_000


def main() -> None:
    """Build the wheel, weigh it, and say what in it is largest."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        size = wheel.stat().st_size
        with zipfile.ZipFile(wheel) as archive:
            files = sorted(archive.infolist(), key=lambda file: -file.compress_size)
    largest = ", ".join(f"`{Path(file.filename).name}` {file.compress_size / 1e3:.0f} kB" for file in files[:3])
    held = goals((f"under {GOAL / 1e6:g} MB: the wheel", f"{size / 1e6:.2f} MB", size < GOAL))
    text = f"{held}\n\n{len(files)} files; the largest, packed: {largest}."
    finish(ROOT / "docs/explanation/tool-speed.md", "wheel", text, quick="--quick" in sys.argv[1:])


if __name__ == "__main__":
    main()
