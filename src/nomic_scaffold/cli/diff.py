"""`nomic-scaffold diff`: what changed between two locks."""

from __future__ import annotations

import json

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.formats import lock_diff
from nomic_scaffold.models.lock_diff import LockDiff
from nomic_scaffold.workflows import diff as workflow

_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "rebuilt": ("=", "cyan")}


@click.command(short_help="Say what changed between two locks.")
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.pass_obj
def command(options: Options, *, old: str | None, new: str | None) -> None:
    """Say what changed between OLD and NEW, per package, folded over platforms and variants.

    Each is a commit, a lock file or a project's folder; without them, the last commit and the working tree. With
    `--format markdown` it is ready for a pull request.
    """
    shape = options.format_in("console", "markdown", "json")
    found = workflow.diff(old, new, root=options.root)
    if shape == "json":
        click.echo(json.dumps(lock_diff.data(found), indent=1))
    elif shape == "markdown":
        click.echo(lock_diff.markdown(found), nl=False)
    else:
        _tell(found)


def _tell(diff: LockDiff) -> None:
    everything = [item.id for item in diff.variants]
    width = max((len(change.name) for change in diff.changes), default=0)
    for change in diff.changes:
        mark, colour = _MARKS[change.kind]
        manager = " (PyPI)" if change.manager == "pip" else ""
        click.echo(
            f"{click.style(mark, fg=colour)} {change.name:<{width}}  {lock_diff.versions(change)}{manager}  "
            + click.style(lock_diff.where(change.variants, everything), dim=True)
        )
    if not diff.changes:
        click.echo(f"no package changed between {diff.old} and {diff.new}")
    for item in diff.variants:
        if (item.before, item.bytes_before) == (item.after, item.bytes_after) and not item.download:
            continue
        unknown = f", {item.unknown} of unknown size" if item.unknown else ""
        click.echo(
            f"{item.id}: {lock_diff.count(item.before)} -> {lock_diff.count(item.after)} packages, "
            f"{lock_diff.megabytes(item.bytes_after)} "
            f"({lock_diff.megabytes(item.bytes_after - item.bytes_before, signed=True)}), "
            f"{lock_diff.megabytes(item.download)} to download{unknown}"
        )
