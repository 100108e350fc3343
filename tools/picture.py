"""Draw the README's picture: the report of a real run, as SVG from the terminal.

    python tools/picture.py EVIDENCE.json PROJECT OUT.svg

EVIDENCE.json is what `nomic-scaffold verify --save-evidence` wrote in PROJECT.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from nomic_scaffold.cli.render.report import draw
from nomic_scaffold.formats import evidence
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.workflows.verify import verify


def main() -> None:
    """Judge the evidence and draw the report."""
    seen, project, out = (Path(argument) for argument in sys.argv[1:4])
    found = evidence.parse(seen.read_text(encoding="utf-8"), path=str(seen))
    report = verify(project, evidence=found, progress=Silent()).report
    console = Console(record=True, width=92, force_terminal=True, file=io.StringIO())
    draw(report, console, quiet=False)
    out.write_text(console.export_svg(title="nomic-scaffold verify"), encoding="utf-8")
    print(f"wrote {out}")


main()
