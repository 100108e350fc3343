"""The questions of `new`: defaults that always work, and errors that name the value."""

from __future__ import annotations

import keyword
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomic_scaffold.errors import UsageError
from nomic_scaffold.formats.answers import QUESTIONS, RESERVED, derive_package, resolve, warnings
from nomic_scaffold.models.answers import Answers, Licence
from nomic_scaffold.models.variant import Accelerator, Platform


def test_defaults_need_nothing_but_the_folder() -> None:
    assert resolve({}, folder="my project") == Answers(
        name="my project",
        package="my_project",
        description="Local text embeddings, the same on every machine",
        author="The my project authors",
        licence=Licence.APACHE,
        python="3.13",
        platforms=tuple(Platform),
        variants=tuple(Accelerator),
        languages=("en",),
    )


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("Müller Suche", "muller_suche"),
        ("2024 news", "project_2024_news"),
        ("json", "json_project"),
        ("Class", "class_project"),
        ("nomic", "nomic_project"),
        ("我的项目", "embeddings"),
        ("...", "embeddings"),
        ("con", "con_project"),
        ("a" * 200, "a" * 50),
    ],
)
def test_a_package_name_is_derived_of_any_name(name: str, package: str) -> None:
    assert derive_package(name) == package


@given(st.text(min_size=1))
def test_a_derived_package_can_be_imported_and_hides_nothing(name: str) -> None:
    package = derive_package(name)
    assert package.isascii()
    assert package.isidentifier()
    assert not keyword.iskeyword(package)
    assert package not in sys.stdlib_module_names
    assert package not in RESERVED


@pytest.mark.parametrize(
    ("given_answers", "told"),
    [
        ({"package": "json"}, "--package 'json' is taken by Python's standard library"),
        ({"package": "class"}, "--package 'class' is taken by the Python language"),
        ({"package": "torch"}, "--package 'torch' is taken by a library or folder of the project"),
        ({"package": "lpt1"}, "--package 'lpt1' is taken by Windows"),
        ({"package": "2fast"}, "--package '2fast' can't be imported"),
        ({"package": "my-project"}, "--package 'my-project' can't be imported"),
        ({"package": "项目"}, "--package '项目' can't be imported"),
        ({"package": "Search"}, "--package 'Search' can't be imported"),
        ({"package": ""}, "--package '' can't be imported"),
        ({"name": " "}, "--name is empty"),
        ({"name": "a\nb"}, "U+000A"),
        ({"name": "x" * 101}, "--name has 101 characters"),
        ({"description": "a\x1bb"}, "U+001B"),
        ({"author": "\u2028x\u2028y"}, "U+2028"),
        ({"licence": "GPL-3.0"}, "--licence 'GPL-3.0' is unknown"),
        ({"python": "3.9"}, "--python '3.9' is unknown"),
        ({"platforms": ["linux-64", "osx-64"]}, "--platform 'osx-64' is unknown"),
        ({"variants": ["rocm"]}, "--variant 'rocm' is unknown"),
        ({"variants": ["cuda"]}, "--variant cuda alone leaves no CPU lock"),
        ({"variants": ["cpu", "cuda"], "platforms": ["osx-arm64"]}, "there is no CUDA for osx-arm64"),
        ({"languages": ["en", "xx"]}, "--language 'xx' is unknown"),
    ],
    ids=str,
)
def test_a_bad_answer_is_named(given_answers: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(given_answers, folder="here")
    assert told in caught.value.message
    assert caught.value.hint


def test_choices_come_out_once_in_their_own_order() -> None:
    answers = resolve({"platforms": ["win-64", "LINUX-64", "win-64"], "licence": "mit"}, folder="x")
    assert answers.platforms == (Platform.LINUX_64, Platform.WIN_64)
    assert answers.licence is Licence.MIT


def test_cuda_is_no_default_where_there_is_none() -> None:
    assert resolve({"platforms": ["osx-arm64"]}, folder="x").variants == (Accelerator.CPU,)


def test_only_what_is_not_given_is_asked() -> None:
    asked = []

    def ask(question, default, so_far):  # type: ignore[no-untyped-def]
        asked.append(question.key)
        return default

    resolve({"name": "n", "languages": ["de"]}, folder="x", ask=ask)
    assert asked == [question.key for question in QUESTIONS if question.key not in ("name", "languages")]


def test_a_language_that_the_model_cannot_read_is_told_at_once() -> None:
    (told,) = warnings(resolve({"languages": ["en", "zh"]}, folder="x"))
    assert "can't read Chinese" in told
