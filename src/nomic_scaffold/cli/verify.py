"""`nomic-scaffold verify`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.probe_options import probe_options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.cli.targets import check_targets, write_target
from nomic_scaffold.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from nomic_scaffold.models.evidence import Evidence
    from nomic_scaffold.models.report import Report

FORMATS = ("console", "json", "junit", "sarif", "markdown", "html", "github")
GROUPS = ("lock", "environment", "weights", "embeddings", "languages", "privacy")


@click.command("verify", short_help="Judge lock, environment, weights, embeddings and privacy.")
@click.option(
    "--only", metavar="GROUP", multiple=True, type=click.Choice(GROUPS), help=f"Again for each: {', '.join(GROUPS)}."
)
@click.option(
    "--skip", metavar="GROUP", multiple=True, type=click.Choice(GROUPS), help="Leave a group out; again for each."
)
@click.option(
    "--prefix",
    type=click.Path(file_okay=False, path_type=Path),
    help="The environment to judge.  [default: the one installed last]",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Read every byte of a conda environment, not only sizes and what was touched since; wheels always are.",
)
@probe_options
@click.option("--strict", is_flag=True, help="Let warnings fail.")
@click.option(
    "--format",
    "format_",
    envvar="NOMIC_SCAFFOLD_VERIFY_FORMAT",
    type=click.Choice(FORMATS),
    metavar="FORMAT",
    help=f"One of {', '.join(FORMATS)}.  [default: console]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to a file instead of stdout.",
)
@click.option(
    "--report", "reports", metavar="FORMAT=FILE", multiple=True, help="Write one more report to a file; again for each."
)
@click.option(
    "--save-evidence",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was seen to a file, to be judged elsewhere.",
)
@click.option("--evidence", type=click.Path(path_type=Path), help="Judge this file instead of looking at this machine.")
@click.pass_obj
def command(
    options: Options,
    /,
    *,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    prefix: Path | None,
    deep: bool,
    timeout: float,
    strict: bool,
    format_: str | None,
    output: Path | None,
    reports: tuple[str, ...],
    save_evidence: Path | None,
    evidence: Path | None,
    **on: Any,
) -> int:
    """Judge the project: lock, environment, weights, embeddings, languages, privacy.

    Exits with 0 only when everything that it claims was looked at and is right; with 1 when a check failed, and with 6
    when something could not be looked at. Every check has a permanent code, which the HTML
    report explains.
    """
    from nomic_scaffold.formats import evidence as evidence_format
    from nomic_scaffold.models.probe import RuntimeChoice
    from nomic_scaffold.models.report import Group
    from nomic_scaffold.workflows.verify import verify

    shape = format_ or options.format_in(*FORMATS)
    wanted = wanted_reports(reports)
    check_targets({"--save-evidence": save_evidence, "-o": output, **{f"--report {n}=": p for n, p in wanted}})
    done = verify(
        options.root(),
        only=[Group(name) for name in only],
        skip=[Group(name) for name in skip],
        prefix=prefix,
        deep=deep,
        evidence=_read(evidence) if evidence else None,
        timeout=timeout,
        on=RuntimeChoice(**on),
        offline=options.offline,
        progress=progress_for(options),
    )
    if save_evidence:
        write_target(save_evidence, evidence_format.render(done.evidence))
    for name, path in wanted:
        write_report(done.report, name, path, strict=strict)
    show(done.report, shape, options, strict=strict, output=output)
    return int(done.report.exit_code(strict=strict))


def wanted_reports(reports: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """Read each FORMAT=FILE; raises UsageError for anything else."""
    found = []
    for pair in reports:
        name, sign, path = pair.partition("=")
        if not sign or name not in FORMATS or not path:
            raise UsageError(
                f"--report {pair} is not FORMAT=FILE",
                hint=f"e.g. --report html=report.html; formats: {', '.join(FORMATS)}",
            )
        found.append((name, Path(path)))
    return tuple(found)


def _read(path: Path) -> Evidence:
    from nomic_scaffold.formats import evidence

    try:
        return evidence.parse(path.read_text(encoding="utf-8"), path=str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UnavailableError(
            f"--evidence: can't read {path}: {reason}", hint="make it with: nomic-scaffold verify --save-evidence FILE"
        ) from error


def write_report(report: Report, shape: str, path: Path, *, strict: bool) -> None:
    """Write a report to a file, in the format `shape`."""
    write_target(path, _text(report, shape, strict=strict))


def show(report: Report, shape: str, options: Options, *, strict: bool, output: Path | None) -> None:
    """Put a report where it was asked for; under GitHub Actions its annotations go to stderr too."""
    if output is not None:
        write_target(output, _text(report, shape, strict=strict))
        if not options.quiet:
            click.echo(f"wrote {output}", err=True)
    elif shape == "console":
        _draw(report, options)
    else:
        click.echo(_text(report, shape, strict=strict), nl=False)
    if os.environ.get("GITHUB_ACTIONS") == "true" and (shape, output) != ("github", None):
        # Annotations are commands that the runner reads from either stream; stdout belongs to the report.
        click.echo(_text(report, "github", strict=strict), nl=False, err=True)


def _draw(report: Report, options: Options) -> None:
    from rich.console import Console

    from nomic_scaffold.cli.render.report import draw

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    console = Console(
        force_terminal=True if options.color == "always" else None,
        no_color=True if options.color == "never" else None,
        highlight=False,
        soft_wrap=False,
    )
    draw(report, console, quiet=options.quiet)


def _text(report: Report, shape: str, *, strict: bool) -> str:
    from nomic_scaffold.formats import (
        report_github,
        report_html,
        report_json,
        report_junit,
        report_markdown,
        report_sarif,
    )
    from nomic_scaffold.workflows.verify import explanations

    match shape:
        case "json":
            return report_json.render(report, strict=strict)
        case "junit":
            return report_junit.render(report, strict=strict)
        case "sarif":
            return report_sarif.render(report, explanations=explanations(), strict=strict)
        case "markdown":
            return report_markdown.render(report)
        case "html":
            return report_html.render(report, explanations=explanations())
        case "github":
            return report_github.render(report)
        case _:
            return _plain(report)


def _plain(report: Report) -> str:
    import io

    from rich.console import Console

    from nomic_scaffold.cli.render.report import draw

    file = io.StringIO()
    draw(report, Console(file=file, width=100, no_color=True, force_terminal=False))
    return file.getvalue()
