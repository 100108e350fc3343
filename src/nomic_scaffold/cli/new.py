"""`nomic-scaffold new`."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nomic_scaffold.cli.options import Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.disk.staging import check_destination
from nomic_scaffold.errors import InputError, UsageError
from nomic_scaffold.formats.answers import LANGUAGES, PYTHONS, Question, SoFar, resolve
from nomic_scaffold.models.answers import Licence
from nomic_scaffold.models.variant import Accelerator, Platform

if TYPE_CHECKING:
    from nomic_scaffold.formats.adopt import Adopted
    from nomic_scaffold.workflows.new import Locker, NewProject


class Destination(click.Path):
    """A folder's name; an empty one, from a variable that is not set, would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty name."""
        return super().convert(value, param, ctx) if value else self.fail("an empty name names no folder", param, ctx)


@click.command("new", short_help="Make a project: template, locks, first commit.")
@click.argument("destination", metavar="DEST", type=Destination(path_type=Path))
@click.option("--defaults", is_flag=True, help="Ask nothing: take the default of all that no option gives.")
@click.option(
    "--from",
    "from_",
    envvar="NOMIC_SCAFFOLD_NEW_FROM",
    type=click.Path(path_type=Path),
    help="Adopt this environment.yml.",
)
@click.option("--no-git", is_flag=True, help="Make no repository and no first commit.")
@click.option("--name", help="Name of the project, as people read it.  [default: the name of DEST]")
@click.option("--package", help="Name of the Python package.  [default: made from the name]")
@click.option("--description", help="What the project is for, in one line.")
@click.option("--author", help="Who owns it: a person, a team or a company.")
@click.option("--licence", "--license", help=f"One of {', '.join(Licence)}.")
@click.option("--python", metavar="VERSION", help=f"One of {', '.join(PYTHONS)}.")
@click.option(
    "--platform", "platforms", metavar="PLATFORM", multiple=True, help=f"Again for each: {', '.join(Platform)}."
)
@click.option(
    "--variant", "variants", metavar="VARIANT", multiple=True, help=f"Again for each: {', '.join(Accelerator)}."
)
@click.option(
    "--language",
    "languages",
    metavar="CODE",
    multiple=True,
    help=f"Language of your texts; again for each: {', '.join(LANGUAGES)}.",
)
@click.pass_obj
def command(
    options: Options, /, *, destination: Path, defaults: bool, from_: Path | None, no_git: bool, **given: Any
) -> None:
    """Make a project in the folder DEST, which must be new or empty.

    On a terminal it asks for what no option gives; --defaults, CI=true or a pipe ask nothing. It needs no network: what
    only a channel or a package index can add is named at the end, with the command that adds it.
    """
    shape = options.format_in("console", "json")
    check_destination(destination)
    environment = None if from_ is None else _read(from_)
    known = {key: value for key, value in given.items() if value not in (None, ())}
    if environment is not None:
        known = {**environment.answers, **known}
    asking = not (defaults or options.in_ci) and sys.stdin.isatty() and sys.stderr.isatty()
    folder = destination.resolve().name or "project"
    answers = resolve(known, folder=folder, ask=_ask if asking else None)
    # Late, as it takes a second: the questions come first.
    from nomic_scaffold.workflows.new import new

    with _ended_politely():
        made = new(
            destination,
            answers,
            environment=environment,
            commit=not no_git,
            offline=options.offline,
            lock=None if options.offline else _locker(options),
            progress=progress_for(options),
        )
    if shape == "json":
        click.echo(
            json.dumps(
                {
                    "schema": 1,
                    "project": str(made.root),
                    "package": answers.package,
                    "files": made.files,
                    "locks": list(made.locks),
                    "missing": list(made.missing),
                    "notes": list(made.notes),
                    "commit": made.commit.outcome if made.commit else None,
                },
                ensure_ascii=False,
                indent=2,
            )
        )
    if not options.quiet:
        _tell(made, destination)


def _locker(options: Options) -> Locker:
    """Lock what does not ship with the tool, without much patience: `nomic-scaffold lock` can add it any time."""

    def lock(root: Path) -> tuple[Sequence[str], Sequence[str]]:
        from nomic_scaffold.workflows.lock import Wanted
        from nomic_scaffold.workflows.lock import lock as run

        result = run(root, Wanted(patient=False, timeout=60), progress=progress_for(options))
        return result.written, result.missing

    return lock


def _tell(made: NewProject, destination: Path) -> None:
    click.echo(f"made {destination} ({made.files} files, package {made.answers.package})", err=True)
    for note in (*made.notes, *made.missing):
        click.echo(f"note:  {note}", err=True)
    if made.commit is not None:
        match made.commit.outcome:
            case "committed":
                pass
            case "committed as nobody":
                click.echo(
                    "note:  git knows no user.name and user.email here, so the first commit is by nobody; "
                    "after setting them: git commit --amend --reset-author --no-edit",
                    err=True,
                )
            case "no git":
                click.echo("note:  git is not installed, so there is no first commit", err=True)
            case "inside a repository":
                click.echo(f"note:  it lies in the repository {made.commit.detail}: commit it there", err=True)
            case "failed":
                click.echo(f"note:  no first commit: git says: {made.commit.detail}", err=True)
    click.echo("next:", err=True)
    lock = ["lock"] if made.missing else []
    for line in (
        f"cd {shlex.quote(str(destination))}",
        *(f"nomic-scaffold {step}" for step in (*lock, "install", "weights pull", "verify")),
    ):
        click.echo(f"  {line}", err=True)


def _ask(question: Question, default: Any, so_far: SoFar) -> Any:
    """Ask until the answer is one that `parse` takes."""

    def check(value: Any) -> Any:
        try:
            raw = tuple(value.replace(",", " ").split()) if question.several and isinstance(value, str) else value
            return question.parse(raw, so_far)
        except UsageError as error:
            raise click.BadParameter(f"{error.message}; {error.hint}" if error.hint else error.message) from error

    text = question.help + (f" ({', '.join(question.choices)})" if question.choices else "")
    shown = " ".join(default) if question.several else str(default)
    return click.prompt(text, default=shown, value_proc=check, err=True)


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Let a termination signal unwind, so that nothing half-made stays."""

    def leave(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # One that is ignored stays so: nohup does that.
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _read(path: Path) -> Adopted:
    from nomic_scaffold.formats import adopt

    try:
        return adopt.read(path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"), path=str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 (byte {error.start})", path=path, hint="save it as UTF-8") from error
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror}", path=path, hint="pass a file: --from environment.yml"
        ) from error
