"""Render the template with Copier, in process."""

from __future__ import annotations

import os
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
    from plumbum import local

    source = shipped(QUESTIONS).parent
    try:
        # Copier shall find no git: it would take the last tag of a checkout instead of the files that are there, and
        # ask git about each file that it writes.
        with local.env(PATH=os.devnull):
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
