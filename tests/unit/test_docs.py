from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from nomic_scaffold.cli.main import cli

FOLDER = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_are_what_the_code_says(generate: ModuleType) -> None:
    for name, text in generate.pages().items():
        assert (FOLDER / "reference" / name).read_text(encoding="utf-8") == text, f"{name} is old; run: make docs"


def test_every_command_and_option_has_words(generate: ModuleType) -> None:
    for line in generate.commands().splitlines():
        if line.startswith("| `-"):
            option, words, *_ = (cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|"))
            assert words, f"{option} has no help"


def options(
    command: click.Command, path: list[str], context: click.Context
) -> Iterator[tuple[click.Option, list[str], click.Context]]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield parameter, path, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from options(inner, [*path, name], click.Context(inner, parent=context, info_name=name))


def test_every_environment_variable_that_is_documented_is_read(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = click.Context(cli, info_name="nomic-scaffold", auto_envvar_prefix="NOMIC_SCAFFOLD")
    for option, path, context in options(cli, ["nomic-scaffold"], top):
        name = generate.variable(option, path)
        if name is not None:
            monkeypatch.setenv(name, "a value")
            assert option.resolve_envvar_value(context) == "a value", f"{option.opts} does not read {name}"


def test_checking_says_what_is_old_and_writes_nothing(
    generate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.FOLDER = tmp_path
    assert generate.main(["--check"]) == 1
    assert "commands.md" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
