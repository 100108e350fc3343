"""The template's questions: defaults, and what an answer may be.

copier.yml asks the same for people who use plain Copier; tests/template/test_questions.py holds the two together.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nomic_scaffold.errors import UsageError
from nomic_scaffold.models.answers import Answers, Licence
from nomic_scaffold.models.variant import Accelerator, Platform

PYTHONS = ("3.13", "3.12", "3.11")
LANGUAGES = {
    "en": "English",
    "zh": "Chinese",
    "es": "Spanish",
    "hi": "Hindi",
    "ar": "Arabic",
    "pt": "Portuguese",
    "ru": "Russian",
    "ja": "Japanese",
    "fr": "French",
    "de": "German",
    "ko": "Korean",
    "th": "Thai",
    "vi": "Vietnamese",
    "id": "Indonesian",
    "tr": "Turkish",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "uk": "Ukrainian",
    "el": "Greek",
    "he": "Hebrew",
    "fa": "Persian",
    "bn": "Bengali",
    "ta": "Tamil",
    "sw": "Swahili",
}
"""Languages that the probe has sample sentences of."""
UNREADABLE = ("ja", "ta", "th", "zh")
"""Languages of which the model's vocabulary lacks more than a tenth: tests/real/test_new_languages.py measures it."""

_RUNTIME = """
click conda einops gpt4all huggingface_hub jsonlines jwt loguru nomic numpy packaging pandas pil pillow pip pyarrow
pydantic pytest requests rich safetensors setuptools sklearn src test tests tokenizers torch tqdm transformers urllib3
wheel yaml
"""
_WINDOWS = "con prn aux nul " + " ".join(f"{device}{number}" for device in ("com", "lpt") for number in range(10))
RESERVED = frozenset(
    name.lower()
    for name in (*keyword.kwlist, *sys.stdlib_module_names, *_RUNTIME.split(), *_WINDOWS.split())
    if not name.startswith("_")
)
"""Names that hide a module of Python or of the runtime, or that Windows does not allow as a folder."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PACKAGE = re.compile(r"[a-z][a-z0-9_]{0,59}")

SoFar = Mapping[str, Any]
"""Answers to the questions before."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: `parse` gives a valid answer or raises UsageError that names the value."""

    key: str
    option: str
    help: str
    default: Callable[[SoFar], Any]
    parse: Callable[[Any, SoFar], Any]
    choices: tuple[str, ...] = ()
    several: bool = False


def resolve(
    given: Mapping[str, Any], *, folder: str, ask: Callable[[Question, Any, SoFar], Any] | None = None
) -> Answers:
    """Fill in what was not given: by asking, or by the defaults.

    `folder` is the name of the destination, the default name of the project. Raises UsageError that names the value.
    """
    answers: dict[str, Any] = {"folder": folder}
    for question in QUESTIONS:
        value = given.get(question.key)
        if value is None:
            value = question.default(answers)
            if ask is not None:
                value = ask(question, value, answers)
        answers[question.key] = question.parse(value, answers)
    del answers["folder"]
    return Answers(**answers)


def warnings(answers: Answers) -> list[str]:
    """Say which of the answers will make `verify` fail with the model that the template pins."""
    return [
        f"nomic-embed-text-v1.5 can't read {LANGUAGES[code]}: too many of its tokens are unknown; verify fails until "
        "scaffold.toml pins a model that can, or no longer names the language"
        for code in answers.languages
        if code in UNREADABLE
    ]


def derive_package(name: str) -> str:
    """Make an importable name of any project name: accents dropped, other scripts left out, nothing hidden.

    >>> derive_package("Müller Suche"), derive_package("2024 json"), derive_package("json"), derive_package("我的")
    ('muller_suche', 'project_2024_json', 'json_project', 'embeddings')
    """
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:50].strip("_")
    if not slug:
        return "embeddings"
    if slug[0].isdigit():
        return f"project_{slug}"
    return f"{slug}_project" if slug in RESERVED else slug


def _line(option: str, *, most: int) -> Callable[[str, SoFar], str]:
    def parse(value: str, _: SoFar) -> str:
        text = value.strip()
        if not text:
            raise UsageError(f"{option} is empty", hint=f"give one line of text: {option} TEXT")
        if found := _CONTROL.search(text):
            raise UsageError(
                f"{option} {text!r} holds a control character (U+{ord(found[0]):04X})", hint="give one line of text"
            )
        if len(text) > most:
            raise UsageError(f"{option} has {len(text)} characters", hint=f"at most {most}")
        return text

    return parse


def _package(value: str, _: SoFar) -> str:
    hint = f"e.g. --package {derive_package(value)}"
    if not _PACKAGE.fullmatch(value):
        raise UsageError(
            f"--package {value!r} can't be imported or installed everywhere: "
            "a package name has lower-case ASCII letters, digits and _, and starts with a letter",
            hint=hint,
        )
    if value in RESERVED:
        raise UsageError(f"--package {value!r} is taken {_taken_by(value)}", hint=hint)
    return value


def _taken_by(name: str) -> str:
    if name in {word.lower() for word in keyword.kwlist}:
        return "by the Python language"
    if name in sys.stdlib_module_names:
        return "by Python's standard library"
    return "by Windows" if name in _WINDOWS.split() else "by a library or folder of the project"


def _one_of(option: str, choices: Sequence[str]) -> Callable[[str, SoFar], str]:
    folded = {choice.lower(): choice for choice in choices}

    def parse(value: str, _: SoFar) -> str:
        found = folded.get(value.strip().lower())
        if found is None:
            raise UsageError(f"{option} {value!r} is unknown", hint=f"one of: {', '.join(choices)}")
        return found

    return parse


def _some_of(option: str, choices: Sequence[str]) -> Callable[[Sequence[str], SoFar], tuple[str, ...]]:
    one = _one_of(option, choices)

    def parse(values: Sequence[str], so_far: SoFar) -> tuple[str, ...]:
        chosen = {one(value, so_far) for value in values}
        if not chosen:
            raise UsageError(f"no {option} is given", hint=f"one or more of: {', '.join(choices)}")
        return tuple(choice for choice in choices if choice in chosen)

    return parse


def _variants(values: Sequence[str], so_far: SoFar) -> tuple[Accelerator, ...]:
    chosen = _some_of("--variant", list(Accelerator))(values, so_far)
    if Accelerator.CPU not in chosen:
        raise UsageError(
            "--variant cuda alone leaves no CPU lock, and conda-lock.yml is the CPU lock",
            hint="--variant cpu --variant cuda",
        )
    if Accelerator.CUDA in chosen and so_far["platforms"] == (Platform.OSX_ARM64,):
        raise UsageError(
            "--variant cuda has no platform: there is no CUDA for osx-arm64", hint="add a platform: --platform linux-64"
        )
    return tuple(Accelerator(value) for value in chosen)


QUESTIONS: tuple[Question, ...] = (
    Question(
        key="name",
        option="--name",
        help="Name of the project, as people read it",
        default=lambda so_far: so_far["folder"],
        parse=_line("--name", most=100),
    ),
    Question(
        key="package",
        option="--package",
        help="Name of the Python package",
        default=lambda so_far: derive_package(so_far["name"]),
        parse=_package,
    ),
    Question(
        key="description",
        option="--description",
        help="What the project is for, in one line",
        default=lambda _: "Local text embeddings, the same on every machine",
        parse=_line("--description", most=300),
    ),
    Question(
        key="author",
        option="--author",
        help="Who owns it; a person, a team or a company",
        default=lambda so_far: f"The {so_far['name']} authors",
        parse=_line("--author", most=200),
    ),
    Question(
        key="licence",
        option="--licence",
        help="Licence of the project's own code",
        default=lambda _: Licence.APACHE,
        parse=lambda value, so_far: Licence(_one_of("--licence", list(Licence))(value, so_far)),
        choices=tuple(Licence),
    ),
    Question(
        key="python",
        option="--python",
        help="Python of the environment",
        default=lambda _: PYTHONS[0],
        parse=_one_of("--python", PYTHONS),
        choices=PYTHONS,
    ),
    Question(
        key="platforms",
        option="--platform",
        help="Machines that the locks are for",
        default=lambda _: tuple(Platform),
        parse=lambda values, so_far: tuple(
            Platform(value) for value in _some_of("--platform", list(Platform))(values, so_far)
        ),
        choices=tuple(Platform),
        several=True,
    ),
    Question(
        key="variants",
        option="--variant",
        help="What runs the model: cpu always, cuda as well",
        default=lambda so_far: (
            (Accelerator.CPU,) if so_far["platforms"] == (Platform.OSX_ARM64,) else tuple(Accelerator)
        ),
        parse=_variants,
        choices=tuple(Accelerator),
        several=True,
    ),
    Question(
        key="languages",
        option="--language",
        help="Languages of your texts, as ISO 639-1 codes",
        default=lambda _: ("en",),
        parse=_some_of("--language", tuple(LANGUAGES)),
        choices=tuple(LANGUAGES),
        several=True,
    ),
)
