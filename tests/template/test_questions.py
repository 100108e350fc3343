"""copier.yml and the tool ask the same questions and refuse the same answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nomic_scaffold import __version__
from nomic_scaffold.disk.shipped import shipped
from nomic_scaffold.errors import UsageError
from nomic_scaffold.formats.answers import LANGUAGES, QUESTIONS, RESERVED, resolve

COPIER = yaml.safe_load((Path(__file__).resolve().parents[2] / "copier.yml").read_text(encoding="utf-8"))
ASKED = {name: question for name, question in COPIER.items() if not name.startswith("_") and question.get("when", True)}


def test_the_questions_are_the_same_in_the_same_order() -> None:
    assert list(ASKED) == [question.key for question in QUESTIONS]


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q.choices], ids=lambda question: question.key)
def test_the_choices_are_the_same(question) -> None:  # type: ignore[no-untyped-def]
    choices = ASKED[question.key]["choices"]
    assert list(choices.values() if isinstance(choices, dict) else choices) == list(question.choices)
    assert ASKED[question.key].get("multiselect", False) == question.several


def test_plain_copier_knows_every_reserved_name() -> None:
    assert RESERVED - set(COPIER["reserved"]["default"].split()) == set()


def test_the_template_carries_the_version_of_the_tool() -> None:
    assert COPIER["tool_version"]["default"] == __version__


def test_nothing_needs_trust() -> None:
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(COPIER)


def test_languages_are_those_that_the_probe_has_sentences_of() -> None:
    texts = json.loads(shipped("probe", "texts.json").read_text(encoding="utf-8"))
    assert {language["code"]: language["name"] for language in texts["languages"]} == LANGUAGES


@pytest.mark.parametrize(
    "data",
    [
        {"package": "json"},
        {"package": "2x"},
        {"package": "a-b"},
        {"name": "a\nb"},
        {"licence": "GPL-3.0"},
        {"python": "3.9"},
        {"platforms": "[osx-64]"},
        {"variants": "[cuda]"},
        {"platforms": "[osx-arm64]", "variants": "[cpu, cuda]"},
        {"languages": "[]"},
    ],
    ids=str,
)
def test_plain_copier_refuses_what_the_tool_refuses(
    plain_copier: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, data: dict[str, str]
) -> None:
    ours = {key: yaml.safe_load(value) if value.startswith("[") else value for key, value in data.items()}
    with pytest.raises(UsageError):
        resolve(ours, folder="x")
    done = plain_copier(tmp_path / "x", **data)
    assert done.returncode != 0
    assert not (tmp_path / "x").exists()
