"""Render the template with Copier, in process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nomic_scaffold import __version__
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.errors import InputError
from nomic_scaffold.models.answers import Answers

QUESTIONS = "copier.yml"


def render(destination: Path, answers: Answers) -> None:
    """Write the template's files for `answers` into the empty folder `destination`.

    Raises InputError when an answer or the template itself is refused by Copier.
    """
    # 0.3 s, so here; the settings are Copier's own defaults: a user's settings file must not change a project.
    from copier import Settings, run_copy
    from copier.errors import CopierError

    with template_root() as source:
        try:
            run_copy(
                str(source),
                destination,
                data=_data(answers),
                settings=Settings(),
                defaults=True,
                overwrite=True,
                quiet=True,
                unsafe=False,
            )
        except (CopierError, ValueError) as error:
            raise InputError(
                f"the template can't be rendered: {error}", hint="report it, with the command that you typed"
            ) from error


@contextmanager
def template_root() -> Iterator[Path]:
    """Give the folder with copier.yml and template/, where it is not the root of a git repository.

    Copier would take a repository's last tag instead of the files that are there.
    """
    root = shipped(QUESTIONS).parent
    if not (root / ".git").exists():
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-template-") as name:
        copy = Path(name)
        shutil.copyfile(root / QUESTIONS, copy / QUESTIONS)
        shutil.copytree(root / "template", copy / "template", ignore=shutil.ignore_patterns("__pycache__"))
        yield copy


def _data(answers: Answers) -> dict[str, object]:
    return {
        "name": answers.name,
        "package": answers.package,
        "description": answers.description,
        "author": answers.author,
        "licence": str(answers.licence),
        "python": answers.python,
        "platforms": [str(platform) for platform in answers.platforms],
        "variants": [str(variant) for variant in answers.variants],
        "languages": list(answers.languages),
        "tool_version": __version__,
    }
