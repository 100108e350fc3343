"""`nomic-scaffold doctor`: what this machine has and lacks."""

from __future__ import annotations

from pathlib import Path

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.errors import ExitCode, InputError
from nomic_scaffold.models.checkup import Checkup, Item, State

_MARKS = {
    State.OK: ("ok  ", "green"),
    State.NOTE: ("note", "yellow"),
    State.LACKING: ("LACK", "red"),
    State.NOT_LOOKED_AT: ("?   ", "magenta"),
}
_WIDTH = 32


@click.command(short_help="Say what this machine has and lacks, and what mends it.")
@click.pass_obj
def command(options: Options) -> int:
    """Say what this machine has and lacks, what follows from it, and the command that mends it.

    In a project the exit code says whether that project can be installed, given its model file and used here;
    elsewhere, whether `new` can make one. With --offline no server is asked, and what only a server could tell is
    `not looked at`.
    """
    from nomic_scaffold.workflows import doctor as workflow

    shape = options.format_in("console", "json")
    checkup = workflow.examine(_root(options), offline=options.offline, progress=progress_for(options))
    if shape == "json":
        click.echo(checkup.model_dump_json(indent=2))
    else:
        _draw(checkup, quiet=options.quiet)
    return checkup.exit_code


def _root(options: Options) -> Path | None:
    """Give the project at hand; None outside of one, unless one was named."""
    try:
        return options.root()
    except InputError:
        if options.project is not None:
            raise
        return None


def _draw(checkup: Checkup, *, quiet: bool) -> None:
    for item in checkup.items:
        if not quiet or item.state is State.LACKING:
            _draw_item(item)
    click.echo()
    click.echo(_verdict(checkup))


def _draw_item(item: Item) -> None:
    mark, colour = _MARKS[item.state]
    click.echo(f"{click.style(mark, fg=colour)}  {item.title:<{_WIDTH}}  {item.seen}")
    for sign, text in (("so", item.consequence), ("do", item.mend)):
        if text:
            click.echo(f"      {'':<{_WIDTH}}{sign}: {text}")


def _verdict(checkup: Checkup) -> str:
    lacking = [item.title for item in checkup.items if item.state is State.LACKING]
    subject = f"the project {checkup.project}" if checkup.project else "making a project (nomic-scaffold new DEST)"
    if lacking:
        return f"This machine lacks what {subject} needs: {', '.join(lacking)}."
    if checkup.exit_code is ExitCode.UNAVAILABLE:
        unseen = [i.title for i in checkup.items if i.needed and i.state is State.NOT_LOOKED_AT]
        return f"Not everything that {subject} needs was looked at: {', '.join(unseen)}."
    return f"This machine has what {subject} needs."
