"""What each lock is made from: environment.yml and scaffold.toml, per platform and accelerator, and its digest.

`lock --check` has 0.3 s for the whole process, so this reads the two files without pydantic: the full reading of
scaffold.toml is asked only to say what is wrong with it.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from nomic_scaffold.errors import InputError, page
from nomic_scaffold.formats import environment_yml
from nomic_scaffold.formats.environment_yml import EnvironmentYml
from nomic_scaffold.formats.toml_lines import line_of
from nomic_scaffold.models.lock import LockInputs, Requirement
from nomic_scaffold.models.variant import Accelerator, Platform, VirtualPackage

SCAFFOLD = "scaffold.toml"
_SPACES = re.compile(r"\s+")


def read(environment_text: str, scaffold_text: str) -> tuple[LockInputs, ...]:
    """Read both files into the inputs of every variant, in the order of scaffold.toml.

    Raises InputError that names the file and the line.
    """
    environment = environment_yml.parse(environment_text)
    if environment.category != "main":
        raise InputError(
            f"category {environment.category!r} is not for the file that the locks are made of",
            path=environment_yml.NAME,
            hint="take the line `category:` out",
        )
    try:
        variants, virtual_packages = _tables(tomllib.loads(scaffold_text))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _what_is_wrong(scaffold_text) from error
    return tuple(
        _inputs(environment, scaffold_text, platform, accelerator, table, virtual_packages)
        for accelerator, table in variants.items()
        for platform in table["platforms"]
    )


def pypi(scaffold_text: str) -> tuple[tuple[str, ...], str]:
    """Read what locks/pylock.toml resolves: its requirements and the lowest Python.

    Raises InputError that names the line.
    """
    try:
        table = tomllib.loads(scaffold_text)["pypi"]
        return tuple(str(item) for item in table["requirements"]), str(table["python"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise _what_is_wrong(scaffold_text) from error


def lines(inputs: LockInputs) -> tuple[str, ...]:
    """Write the inputs as sorted lines, the channels in their own order; equal inputs give equal lines."""
    channels = [f"channel {number} {name}" for number, name in enumerate(inputs.channels, 1)]
    virtual = [f"virtual {package.name} {package.version} {package.build}" for package in inputs.virtual_packages]
    asked = [requirement_line(requirement) for requirement in (*inputs.requirements, *inputs.pip)]
    return (*channels, *sorted(set(asked)), *sorted(virtual))


def requirement_line(requirement: Requirement) -> str:
    """Write one requirement as `lines` does: manager, file, text with single spaces."""
    return f"{requirement.manager} {requirement.file} {_SPACES.sub(' ', requirement.text.strip())}"


def digest(written: Iterable[str]) -> str:
    """Hash the lines of `lines`; sha256, lower-case hex."""
    return hashlib.sha256("\n".join(written).encode("utf-8")).hexdigest()


def _tables(data: Mapping[str, Any]) -> tuple[dict[Accelerator, dict[str, Any]], dict[str, dict[str, str]]]:
    variants = {Accelerator(name): dict(table) for name, table in data["variants"].items()}
    virtual_packages = {str(Platform(name)): dict(table) for name, table in data["virtual-packages"].items()}
    for table in variants.values():
        table["platforms"] = [Platform(name) for name in table["platforms"]]
        asked = [text for texts in table["requirements"].values() for text in texts]
        if not table["platforms"] or not all(isinstance(text, str) for text in asked):
            raise ValueError(table)
    return variants, virtual_packages


def _inputs(
    environment: EnvironmentYml,
    scaffold_text: str,
    platform: Platform,
    accelerator: Accelerator,
    table: Mapping[str, Any],
    virtual_packages: Mapping[str, Mapping[str, str]],
) -> LockInputs:
    entries = [entry for entry in environment.entries if entry.on(platform)]
    written = [
        Requirement(text=entry.text, manager=entry.manager, file=environment_yml.NAME, line=entry.line)
        for entry in entries
    ]
    asked: Mapping[str, list[str]] = table["requirements"]
    line = line_of(scaffold_text, ["variants", accelerator, "requirements"])
    of_variant = [
        Requirement(text=text, manager="conda", file=SCAFFOLD, line=_line_with(scaffold_text, key, text, line))
        for key in ("all", str(platform))
        for text in asked.get(key, ())
    ]
    there = {**virtual_packages.get(platform, {}), **table.get("virtual-packages", {})}
    return LockInputs(
        platform=platform,
        accelerator=accelerator,
        channels=tuple(name for name in environment.channels if name != "nodefaults"),
        requirements=(*(item for item in written if item.manager == "conda"), *of_variant),
        pip=tuple(item for item in written if item.manager == "pip"),
        virtual_packages=tuple(_virtual_package(name, value) for name, value in sorted(there.items())),
    )


def _line_with(text: str, key: str, requirement: str, start: int | None) -> int | None:
    """Find the line at or after `start` that holds `key` and the quoted requirement, else the requirement alone."""
    if start is None:
        return None
    rows = list(enumerate(text.splitlines()[start - 1 :], start))
    holding = [(number, row) for number, row in rows if f'"{requirement}"' in row or f"'{requirement}'" in row]
    exact = [number for number, row in holding if re.search(rf"(?<![\w-]){re.escape(key)}\"?\s*=", row)]
    return next(iter([*exact, *(number for number, _ in holding)]), start)


def _virtual_package(name: str, value: str) -> VirtualPackage:
    version, _, build = str(value).partition(" ")
    return VirtualPackage(name=name, version=version, build=build or "0")


def _what_is_wrong(text: str) -> InputError:
    from nomic_scaffold.formats import scaffold_toml

    try:
        scaffold_toml.parse(text)
    except InputError as error:
        return error
    return InputError("can't be read", path=SCAFFOLD, hint=f"compare it with {page('reference/scaffold-toml.md')}")
