"""`nomic-scaffold lock`: solve what changed and write the locks, or say whether they are fresh."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.errors import ExitCode, InputError, StaleLockError, UsageError
from nomic_scaffold.workflows import lock as workflow
from nomic_scaffold.workflows.lock import LockResult, Wanted


@click.command(short_help="Solve every variant for every platform and write the locks.")
@click.option("--check", is_flag=True, help="Only say whether the locks match their inputs: no solve, no network.")
@click.option(
    "--upgrade", metavar="PKG", multiple=True, help="Move this package, and only what must move with it. Repeatable."
)
@click.option("--fresh", is_flag=True, help="Keep nothing of the old locks: the newest of everything.")
@click.option("--platform", metavar="PLATFORM", multiple=True, help="Only this platform, e.g. linux-64. Repeatable.")
@click.option("--variant", metavar="VARIANT", multiple=True, help="Only this variant: cpu, cuda or pypi. Repeatable.")
@click.option(
    "--exclude-newer",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Look only at packages that were there at the end of this day (UTC).",
)
@click.option(
    "--repodata",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Read package records from DIR/<subdir>/repodata.json.zst instead of the channels.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Give up on channels that take longer.",
)
@click.option("--conda-only", is_flag=True, help="Leave out what comes from a PyPI index.")
@click.option(
    "--merge-driver",
    nargs=4,
    metavar="BASE OURS THEIRS PATH",
    help="Merge a lock, for git: set it as merge.<name>.driver.",
)
@click.option(
    "--lint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Judge this conda-lock file, whoever wrote it; needs no project. Repeatable.",
)
@click.pass_obj
def command(
    options: Options,
    *,
    check: bool,
    upgrade: tuple[str, ...],
    fresh: bool,
    platform: tuple[str, ...],
    variant: tuple[str, ...],
    exclude_newer: datetime | None,
    repodata: Path | None,
    timeout: float,
    conda_only: bool,
    merge_driver: tuple[str, str, str, str] | None,
    lint: tuple[Path, ...],
) -> int:
    """Solve every variant for every platform and write the locks.

    What still fits stays as it is: only variants whose inputs changed are solved, and of these only what must move.
    Nothing is written unless everything could be solved.
    """
    shape = options.format_in("console", "json")
    if merge_driver:
        return _merge(*merge_driver)
    if lint:
        return _lint(lint, shape)
    root = options.root()
    if check:
        if upgrade or fresh or platform or variant or exclude_newer or repodata or conda_only:
            raise UsageError("--check stands alone: it solves nothing", hint="nomic-scaffold lock --check")
        return _check(root, shape, quiet=options.quiet)
    if fresh and upgrade:
        raise UsageError("--fresh moves everything, --upgrade one package", hint="give one of them")
    wanted = Wanted(
        fresh=fresh,
        upgrade=upgrade,
        platforms=platform,
        variants=variant,
        exclude_newer=exclude_newer.date() if exclude_newer else None,
        repodata=repodata,
        offline=options.offline,
        pypi=not conda_only,
        timeout=timeout,
    )
    result = workflow.lock(root, wanted, progress=progress_for(options))
    if shape == "json":
        click.echo(json.dumps(_json(result), indent=1))
    elif not options.quiet:
        _tell(result)
    for sentence in result.missing:
        click.echo(click.style("note:  ", fg="yellow") + sentence, err=True)
    return ExitCode.UNAVAILABLE if result.missing else ExitCode.OK


def _check(root: Path, shape: str, *, quiet: bool) -> int:
    findings = workflow.check(root)
    if shape == "json":
        rows = [
            {"kind": item.kind, "file": item.file, "line": item.line, "message": item.message, "lock": item.lock}
            for item in findings
        ]
        click.echo(json.dumps({"schema_version": 1, "fresh": not findings, "findings": rows}, indent=1))
        return ExitCode.INPUT if findings else ExitCode.OK
    if findings:
        first, *others = [str(item) for item in findings]
        more = "".join(f"\n       {line}" for line in others)
        places = tuple(InputError(item.message, path=item.file, line=item.line) for item in findings)
        raise StaleLockError(f"{first}{more}", hint="nomic-scaffold lock", findings=places)
    if not quiet:
        click.echo("every lock matches its inputs", err=True)
    return ExitCode.OK


def _merge(base: str, ours: str, theirs: str, path: str) -> int:
    done = workflow.merge(Path(base), Path(ours), Path(theirs), path=path)
    if done:
        click.echo(f"{path}: merged; now: nomic-scaffold lock", err=True)
    return ExitCode.OK if done else ExitCode.CHECK_FAILED


def _lint(paths: tuple[Path, ...], shape: str) -> int:
    from nomic_scaffold.models.report import Status

    results = workflow.lint(paths)
    failed = [result for result in results if result.status is Status.FAIL]
    if shape == "json":
        click.echo(json.dumps([result.model_dump(mode="json") for result in results], indent=1))
    else:
        for result in results:
            colour = {Status.PASS: "green", Status.FAIL: "red"}.get(result.status, "yellow")
            click.echo(f"{click.style(f'{result.status:<7}', fg=colour)} {result.code}  {result.title}")
            if result.status is not Status.PASS and result.detail:
                click.echo(f"                {result.detail}")
    return ExitCode.CHECK_FAILED if failed else ExitCode.OK


def _tell(result: LockResult) -> None:
    width = max((len(item.id) for item in result.variants), default=0)
    for item in result.variants:
        moved = f"{item.changed} changed" if item.changed else "nothing changed"
        without = f", without {', '.join(item.left_out)} (no file for it)" if item.left_out else ""
        click.echo(
            f"{item.id:<{width}}  {item.outcome:<6}  {item.packages:>3} packages  "
            f"{item.size / 1e6:>6.0f} MB  {moved}{without}"
        )
    count = len(result.written)
    click.echo(f"{count} file{'' if count == 1 else 's'} written" if count else "nothing to write", err=True)


def _json(result: LockResult) -> dict[str, object]:
    return {
        "schema_version": 1,
        "variants": [
            {
                "id": item.id,
                "outcome": item.outcome,
                "packages": item.packages,
                "bytes": item.size,
                "changed": item.changed,
                "solver_seconds": round(item.seconds, 3),
                "left_out": list(item.left_out),
            }
            for item in result.variants
        ],
        "written": list(result.written),
        "missing": list(result.missing),
    }
