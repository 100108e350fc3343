"""The entry point: global options, commands loaded on use, errors turned into words and exit codes."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

from nomic_scaffold import __version__
from nomic_scaffold.cli.options import Options
from nomic_scaffold.errors import ExitCode, ScaffoldError

COMMANDS: dict[str, str] = {
    "new": "Make a project: template, locks, first commit.",
    "lock": "Solve every variant for every platform and write the locks.",
    "diff": "Say what changed between two locks.",
    "install": "Make the environment from the lock.",
    "weights": "Fetch, check and list the pinned model files.",
    "verify": "Judge lock, environment, weights, embeddings and privacy.",
    "bless": "Record this machine's vectors as the project's golden ones.",
    "image": "Build the project's Docker image, and verify inside it.",
    "doctor": "Say what this machine has and lacks, and what mends it.",
}
"""Command -> its one-line help, in the order of use; the module of the same name in this package holds it."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"nomic_scaffold.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and close:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{close[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@dataclass
class Asked:
    """The global options once they are read, for telling of an error."""

    options: Options | None = None


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "NOMIC_SCAFFOLD",
        "max_content_width": 100,
    },
)
@click.option(
    "-C",
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    help="The project's folder.  [default: the nearest parent with scaffold.toml]",
)
@click.option("-q", "--quiet", is_flag=True, help="Say only errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, with tracebacks of errors.")
@click.option(
    "--format",
    "format_",
    envvar="NOMIC_SCAFFOLD_FORMAT",
    metavar="FORMAT",
    help="Shape of the output, e.g. console or json.",
)
@click.option("--offline", is_flag=True, help="Use no network.")
@click.option("--no-progress", is_flag=True, help="Draw no progress bars.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="When to use colour.")
@click.version_option(__version__, prog_name="nomic-scaffold")
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    project: Path | None,
    quiet: bool,
    verbose: bool,
    format_: str | None,
    offline: bool,
    no_progress: bool,
    color: str,
) -> None:
    """Make a local text-embedding project that is the same on every machine, and prove it."""
    asked = ctx.find_object(Asked)
    ctx.obj = Options(
        project=project,
        quiet=quiet,
        verbose=verbose,
        format=format_,
        offline=offline,
        progress=not no_progress,
        color=color,
    )
    if asked:
        asked.options = ctx.obj


_MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room (nomic-scaffold doctor), then run the same command"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "get the right to write there, or take another folder"),
}
"""What to do about what the system refuses, by its number."""


def main() -> NoReturn:
    """Run the command line and exit with a code of `ExitCode`."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or ExitCode.UNAVAILABLE
    # py-rattler can crash the interpreter while it shuts down (PyO3/pyo3-async-runtimes#40): leave at once.
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit code; every expected failure is told on stderr."""
    asked = Asked()
    try:
        result = cli.main(args=arguments, prog_name="nomic-scaffold", standalone_mode=False, obj=asked)
        return int(result) if isinstance(result, int) else ExitCode.OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; run the same command again to go on", asked)
        return ExitCode.INTERRUPTED
    except ScaffoldError as error:
        _traceback(asked)
        _complain(error.message, asked, hint=error.hint)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            _tell_github(error, next((word for word in arguments if word in COMMANDS), ""))
        return error.exit_code
    except BrokenPipeError:
        return ExitCode.UNAVAILABLE
    except OSError as error:
        _traceback(asked)
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}", asked, hint=_MENDS.get(error.errno or 0))
        return ExitCode.UNAVAILABLE
    except Exception as error:
        _traceback(None)
        _complain(
            f"this is a bug: {type(error).__name__}: {error}", asked, hint="please report it with the lines above"
        )
        return ExitCode.BUG


def _complain(message: str, asked: Asked, *, hint: str | None = None) -> None:
    coloured = asked.options.coloured if asked.options else None
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True, color=coloured)
    if hint:
        click.echo(click.style("hint:  ", fg="cyan") + hint, err=True, color=coloured)


def _tell_github(error: ScaffoldError, command: str) -> None:
    """Have GitHub show an error at the line of the project's file that it is about, and in the job's summary."""
    from nomic_scaffold.errors import InputError, StaleLockError
    from nomic_scaffold.formats.github_command import annotation
    from nomic_scaffold.formats.report_markdown import render_failure

    rows: list[tuple[str, str | None, str | None]] = []
    for one in (isinstance(error, StaleLockError) and error.findings) or (error,):
        path, line = (one.path, one.line) if isinstance(one, InputError) else (None, None)
        told = one.message + (f"\nNext: {error.hint}" if error.hint else "")
        file = None if path is None or Path(path).is_absolute() else Path(path).as_posix()
        click.echo(annotation(told, title="nomic-scaffold", file=file, line=line), nl=False, err=True)
        rows.append((one.message, f"{file}:{line}" if file and line else file, error.hint))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with suppress(OSError), Path(summary).open("a", encoding="utf-8") as place:
            place.write(render_failure(command, error.exit_code, rows))


def _traceback(asked: Asked | None) -> None:
    """Print the traceback; of an expected error only where --verbose was given."""
    import traceback

    if asked is None or (asked.options and asked.options.verbose):
        traceback.print_exc()
