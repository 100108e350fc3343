"""The reference describes every key that scaffold.toml may have, and the tutorial types commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from nomic_scaffold.cli.main import cli
from nomic_scaffold.formats.scaffold_toml import ScaffoldToml

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "reference/scaffold-toml.md"
TUTORIAL = (DOCS / "tutorial/first-project.md").read_text(encoding="utf-8")


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Give every key of the file, dotted; `*` for a key that people choose."""
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        nested = [*models(field.annotation)]
        for below in nested:
            chosen = "*." if getattr(field.annotation, "__origin__", None) is dict else ""
            yield from keys(below, f"{key}.{chosen}")
        if not nested:
            plain = key == "virtual-packages"
            yield f"{key}.*" if plain else key


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def test_every_key_is_described_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)) | set(
        re.findall(r"^`(\w+)`:", page, re.MULTILINE)
    )
    assert described == set(keys(ScaffoldToml))


ARTICLE = (DOCS / "explanation/the-article.md").read_text(encoding="utf-8")
SEEN = [row.strip("| ").rpartition(" | ")[2] for row in re.findall(r"^\| (?!the article).+$", ARTICLE, re.MULTILINE)]
"""The last cell of each row of the page on the article."""


def take(line: str) -> None:
    """Have click read a command's arguments, and run nothing."""
    command: click.Command = cli
    context = cli.make_context("nomic-scaffold", shlex.split(line))
    rest = [*context._protected_args, *context.args]
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command, context = found, found.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args]
    assert not rest


@pytest.mark.parametrize("line", re.findall(r"^    \$ nomic-scaffold (.+)$", TUTORIAL, re.MULTILINE))
def test_the_tutorial_types_commands_that_there_are(line: str) -> None:
    take(line)


@pytest.mark.parametrize("cell", SEEN)
def test_every_point_about_the_article_has_a_command_that_shows_it(cell: str) -> None:
    found = re.match(r"`nomic-scaffold ([^`]+)`", cell)
    assert found, f"{cell} does not begin with a command"
    take(found[1])
