"""conda-lock's own content hash, for requirements that are written plainly: without importing conda_lock.

Importing it takes longer than solving. What is not plain (a channel's address, brackets, selectors, markers) is not
hashed here: adapters/conda/content_hash.py asks conda-lock itself. tests/adapters/test_content_hash.py holds both
against each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nomic_scaffold.formats import environment_yml, lock_sources
from nomic_scaffold.formats.names import normal_name
from nomic_scaffold.models.lock import LockInputs
from nomic_scaffold.models.variant import Platform, VirtualPackage

_NUMBERS = r"\d+(?:\.\d+)*"
_PART = rf"(?:{_NUMBERS}(?:\.\*)?|(?:[<>]=?|!=|~=){_NUMBERS}|\*)"
_CONDA = re.compile(
    rf"(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?:(?:\s+|(?=[<>!~]))(?P<version>{_PART}(?:,{_PART})*)"
    r"(?:\s+(?P<build>(?!\*+$)[A-Za-z0-9_*]+))?)?"
)
_CLAUSE = rf"(?:[<>]=?|~=)\s*{_NUMBERS}|[!=]=\s*{_NUMBERS}(?:\.\*)?"
_PIP = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[A-Za-z0-9]+(?:,[A-Za-z0-9]+)*)\])?\s*"
    rf"(?P<version>(?:{_CLAUSE})(?:\s*,\s*(?:{_CLAUSE}))*)?"
)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SELECTOR = re.compile(r"#.*\[")
_WRITTEN = 1577854800000
"""The time that conda-lock gives to every virtual package."""

_Spec = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class ContentHashes:
    """The hashes per platform, with the pip section and as if there were none."""

    whole: dict[Platform, str]
    conda_only: dict[Platform, str]
    channels: tuple[dict[str, object], ...]
    """As the metadata of a lock holds them; `${NAME}` in an address stays unfilled."""


def plain(inputs: Sequence[LockInputs], environment: str) -> ContentHashes | None:
    """Compute the hashes of one accelerator's inputs; None for what is not written plainly.

    `environment` is the text of environment.yml.
    """
    channels = inputs[0].channels
    if _SELECTOR.search(environment) or not all(_NAME.fullmatch(name) for name in channels):
        return None
    listed = [{"url": name, "used_env_vars": list[str]()} for name in channels]
    whole: dict[Platform, str] = {}
    conda_only: dict[Platform, str] = {}
    for item in inputs:
        specs = _specs(item)
        if specs is None or bool(item.pip) != ("pip:" in environment):
            return None
        rest = {
            "channels": [json.dumps(channel, separators=(",", ":")) for channel in listed],
            "virtual_package_hash": _virtual_packages(item.platform, item.virtual_packages),
        }
        whole[item.platform] = _digest({**rest, "specs": specs})
        conda_only[item.platform] = _digest({**rest, "specs": [spec for spec in specs if spec["manager"] == "conda"]})
    return ContentHashes(whole=whole, conda_only=conda_only, channels=tuple(dict(channel) for channel in listed))


def _specs(inputs: LockInputs) -> list[_Spec] | None:
    """Write the requirements as conda-lock does: a later one of a name replaces an earlier one."""
    ours = [item.text for item in inputs.requirements if item.file == environment_yml.NAME]
    found = [_conda(text) for text in ours]
    found += [_pip(item.text) for item in inputs.pip]
    found += [_spec("pip", "*")] if inputs.pip else []
    found += [_conda(text) for text in lock_sources.joined(inputs)]
    if any(spec is None for spec in found):
        return None
    last = {(str(spec["manager"]), str(spec["name"])): spec for spec in found if spec}
    return [last[key] for key in sorted(last)]


def _conda(text: str) -> _Spec | None:
    match = _CONDA.fullmatch(text.strip())
    return _spec(match["name"].lower(), match["version"] or "", build=match["build"]) if match else None


def _pip(text: str) -> _Spec | None:
    match = _PIP.fullmatch(text.strip())
    if match is None:
        return None
    version = ",".join(sorted({re.sub(r"\s", "", part) for part in (match["version"] or "").split(",")}))
    extras = sorted(set((match["extras"] or "").split(",")) - {""})
    return _spec(normal_name(match["name"]), version or "*", manager="pip", extras=extras)


def _spec(
    name: str, version: str, *, manager: str = "conda", build: str | None = None, extras: Iterable[str] = ()
) -> _Spec:
    return {
        "name": name,
        "manager": manager,
        "category": "main",
        "extras": list(extras),
        "version": version,
        "build": build,
        "conda_channel": None,
        "hash": None,
    }


def _virtual_packages(platform: Platform, packages: Iterable[VirtualPackage]) -> dict[str, object]:
    """Write what conda-lock calls the fake repodata of a platform, with the build number that it puts in for v2."""
    found = {}
    for package in packages:
        text = "" if package.build == "0" else package.build
        build = f"{text}_0" if text else "0"
        found[f"{package.name}-{package.version}-{build}.tar.bz2"] = {
            "name": package.name,
            "version": package.version,
            "build_string": text,
            "build_number": 0,
            "noarch": "",
            "depends": [],
            "timestamp": _WRITTEN,
            "package_type": "virtual_system",
            "build": build,
            "subdir": str(platform),
        }
    return {
        "noarch": {"info": {"subdir": "noarch"}, "packages": {}},
        str(platform): {"info": {"subdir": str(platform)}, "packages": found},
    }


def _digest(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()
