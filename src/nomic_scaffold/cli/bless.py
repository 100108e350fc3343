"""`nomic-scaffold bless`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.probe_options import probe_options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.errors import UsageError

if TYPE_CHECKING:
    from nomic_scaffold.workflows.bless import Blessing


@click.command("bless", short_help="Record this machine's vectors as the project's golden ones.")
@click.option(
    "--prefix",
    type=click.Path(file_okay=False, path_type=Path),
    help="The environment to embed in.  [default: the one installed last]",
)
@probe_options
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
@click.pass_obj
def command(options: Options, /, *, prefix: Path | None, timeout: float, yes: bool, **on: Any) -> None:
    """Record this machine's vectors as the project's golden ones.

    From then on `verify` holds every machine against them. Refuses when the model file is not the pinned one, or when
    any check of the vectors themselves fails. A device or type other than float32 on a CPU gets a file of its own; a
    device other than a CPU also gets bars of its own, three times as wide as it is measured to be off. Not for CI: that
    vectors are right is for people to say.
    """
    from nomic_scaffold.models.probe import RuntimeChoice
    from nomic_scaffold.workflows import bless

    shape = options.format_in("console", "json")
    if options.in_ci:
        raise UsageError("bless is not for CI: that vectors are right is for people to say", hint="run it by hand")
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "bless asks before it writes, and nobody is there to answer", hint="nomic-scaffold bless --yes"
        )
    root = options.root()
    blessing = bless.prepare(
        root, prefix=prefix, timeout=timeout, on=RuntimeChoice(**on), progress=progress_for(options)
    )
    if not yes:
        _ask(blessing)
    bless.record(root, blessing)
    click.echo(_json(blessing) if shape == "json" else _told(blessing))


def _ask(blessing: Blessing) -> None:
    for line in _differences(blessing):
        click.echo(line, err=True)
    if not sys.stdin.isatty():
        raise UsageError(
            "bless asks before it writes, and nobody is there to answer", hint="nomic-scaffold bless --yes"
        )
    click.confirm(f"Write {len(blessing.golden.vectors)} vectors to {blessing.path}?", abort=True, err=True)


def _differences(blessing: Blessing) -> list[str]:
    lines = []
    if blessing.against_shipped:
        lines.append(f"against what ships with the tool: {blessing.against_shipped}")
    if blessing.against_own:
        lines.append(f"against {blessing.path} of before: {blessing.against_own}")
    if bars := blessing.golden.tolerance:
        on = f"{blessing.golden.made_by['dtype']} on {blessing.golden.made_by['device']}"
        lines.append(f"bars for {on} from now on: {bars.component:.0e} a component, 1 - cos {bars.cosine_distance:.0e}")
    return lines or ["there is nothing to hold these vectors against: they are the first"]


def _told(blessing: Blessing) -> str:
    made = blessing.golden.made_by
    return "\n".join(
        [
            f"wrote {blessing.path}: {len(blessing.golden.vectors)} vectors of {made['runtime']} on {made['device']}, "
            f"{made['dtype']}",
            *_differences(blessing),
            "Next: git add " + blessing.path,
        ]
    )


def _json(blessing: Blessing) -> str:
    return json.dumps(
        {
            "schema_version": 1,
            "path": blessing.path,
            "vectors": len(blessing.golden.vectors),
            "made_by": blessing.golden.made_by,
            "tolerance": asdict(blessing.golden.tolerance) if blessing.golden.tolerance else None,
            "against_own": blessing.against_own,
            "against_shipped": blessing.against_shipped,
        },
        indent=2,
    )
