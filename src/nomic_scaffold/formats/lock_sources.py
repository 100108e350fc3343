"""What scaffold.toml says of variants, written so that conda-lock reads it: its own check then agrees with ours."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import yaml

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.environment_yml import SELECTORS
from nomic_scaffold.formats.lock_url import without_credentials
from nomic_scaffold.models.lock import LockInputs, Requirement

_HEAD = "# Made by: nomic-scaffold lock, from scaffold.toml, for conda-lock.  Don't edit.\n"
_SPEC = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)\s*(?P<rest>.*)$")


def environment(inputs: Sequence[LockInputs]) -> str:
    """Write the requirements of a variant, joined with what environment.yml asks of the same packages.

    conda-lock lets a later file's line for a package replace an earlier one's. Raises InputError for a requirement
    that can't be written as `name version build`.
    """
    lines = {item.platform: joined(item) for item in inputs}
    everywhere = set.intersection(*(set(of) for of in lines.values()))
    rows = [_row(line, None) for line in sorted(everywhere)]
    rows += [
        _row(line, SELECTORS[platform][0])
        for platform in sorted(lines)
        for line in sorted(set(lines[platform]) - everywhere)
    ]
    platforms = "".join(f"  - {item.platform}\n" for item in sorted(inputs, key=lambda item: item.platform))
    return f"{_HEAD}channels: []\nplatforms:\n{platforms}dependencies:{''.join(rows) or ' []'}\n"


def virtual_packages(inputs: Sequence[LockInputs]) -> str:
    """Write the virtual packages of a variant's platforms."""
    subdirs = {
        str(item.platform): {
            "packages": {
                package.name: package.version if package.build == "0" else f"{package.version} {package.build}"
                for package in item.virtual_packages
            }
        }
        for item in sorted(inputs, key=lambda item: item.platform)
    }
    return _HEAD + yaml.safe_dump({"subdirs": subdirs}, sort_keys=True)


def split_spec(text: str) -> tuple[str, str, str] | None:
    """Take `name version build` apart; empty where it says nothing; None for a spec with a channel or brackets."""
    if "::" in text or "[" in text:
        return None
    match = _SPEC.match(text.strip())
    if match is None:
        return None
    name, rest = match["name"].lower(), (match["rest"] or "").strip()
    exact = re.fullmatch(r"=([^=<>!~\s]+)=([^=\s]+)", rest)
    if exact:
        return name, exact[1], exact[2]
    version, _, build = rest.partition(" ")
    return name, "" if version == "*" else version, "" if build.strip() == "*" else build.strip()


def joined(inputs: LockInputs) -> tuple[str, ...]:
    """Write each package that the variant asks for in one line with what environment.yml asks of it."""
    of_variant = [item for item in inputs.requirements if item.file != "environment.yml"]
    others = [item for item in inputs.requirements if item.file == "environment.yml"]
    parts = {id(item): split_spec(item.text) for item in inputs.requirements}
    lines = []
    for name in dict.fromkeys(_name(item, parts[id(item)]) for item in of_variant):
        same = [item for item in (*others, *of_variant) if (parts[id(item)] or ("",))[0] == name]
        versions = list(dict.fromkeys(_part(item, parts[id(item)], 1) for item in same))
        builds = list(dict.fromkeys(build for item in same if (build := _part(item, parts[id(item)], 2))))
        if len(builds) > 1:
            last = same[-1]
            raise InputError(
                f"{name} is asked for with two builds: {' and '.join(builds)}", path=last.file, line=last.line
            )
        version = ",".join(item for item in versions if item)
        lines.append(f"{name} {version or ('*' if builds else '')} {builds[0] if builds else ''}".strip())
    return tuple(lines)


def _name(item: Requirement, parts: tuple[str, str, str] | None) -> str:
    if parts is None:
        raise InputError(
            f"{without_credentials(item.text)!r} is not of the form 'name version build'",
            path=item.file,
            line=item.line,
            hint='write e.g. "pytorch * cpu*"',
        )
    return parts[0]


def _part(item: Requirement, parts: tuple[str, str, str] | None, index: int) -> str:
    _name(item, parts)
    assert parts is not None
    return parts[index]


def _row(line: str, selector: str | None) -> str:
    return f"\n  - {json.dumps(line)}" + (f"  # [{selector}]" if selector else "")
