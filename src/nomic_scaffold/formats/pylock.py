"""Read and write locks/pylock.toml (PEP 751): files by what they are, and no index, URL or host in it."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import ConfigDict, Field, ValidationError

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats.pylock_digest import TABLE, body_digest
from nomic_scaffold.formats.pylock_digest import inputs_digest as inputs_digest  # the fast part
from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.lock import PypiFile, PypiLock, PypiPackage

NAME = "pylock.toml"
WHEELS = "wheels"
"""Folder beside the lock that its `path` entries name; people may fill it for machines without any index."""
MADE_BY = "nomic-scaffold lock"
_HEADER = f"""\
# Made by `{MADE_BY}`; never edit by hand.
# A file is named by its sha256 and not by an index: whichever index or folder has these bytes will do.
"""


class _Keyed(Boundary):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-"))


class _Wheel(_Keyed):
    name: str | None = None
    upload_time: datetime | None = None
    url: str | None = None
    path: str | None = None
    size: int | None = None
    hashes: dict[str, str]

    def filename(self) -> str:
        """Name the wheel as PEP 751 does: by `name`, else by the last part of its path or URL."""
        place = self.path.replace("\\", "/") if self.path else unquote(urlsplit(self.url or "").path)
        return self.name or PurePosixPath(place).name


class _Package(_Keyed):
    name: str
    version: str | None = None
    marker: str | None = None
    requires_python: str | None = None
    dependencies: tuple[dict[str, Any], ...] = ()
    vcs: dict[str, Any] | None = None
    directory: dict[str, Any] | None = None
    archive: dict[str, Any] | None = None
    index: str | None = None
    sdist: dict[str, Any] | None = None
    wheels: tuple[_Wheel, ...] = ()
    attestation_identities: tuple[dict[str, Any], ...] = ()
    tool: dict[str, Any] = Field(default_factory=dict)


class _OurTool(_Keyed):
    inputs_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    body_digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    exclude_newer: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")


class _Pylock(_Keyed):
    lock_version: Literal["1.0"]
    created_by: str
    requires_python: str | None = None
    environments: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    dependency_groups: tuple[str, ...] = ()
    default_groups: tuple[str, ...] = ()
    packages: tuple[_Package, ...]
    tool: dict[str, Any] = Field(default_factory=dict)


def digest(lock: PypiLock) -> str:
    """Digest what a lock pins; the same whatever tool wrote the file and however it is laid out."""
    return hashlib.sha256(_body(lock).encode()).hexdigest()


def parse(text: str, *, path: str = NAME) -> PypiLock:
    """Read a pylock.toml, ours or another tool's.

    Raises InputError that names the line: of bad TOML, or of the package that can't be installed by hash.
    """
    try:
        raw = _Pylock.model_validate(_loads(text, path))
    except ValidationError as error:
        first = error.errors()[0]
        keys = [str(part) for part in first["loc"]]
        index = first["loc"][1] if len(first["loc"]) > 1 and first["loc"][0] == "packages" else None
        raise InputError(
            f"{'.'.join(keys)}: {first['msg']} (found {str(first.get('input'))[:60]!r})",
            path=path,
            line=_line(text, index if isinstance(index, int) else None),
            hint=f"make it anew: {MADE_BY}",
        ) from error
    try:
        tool = _OurTool.model_validate(raw.tool["nomic-scaffold"]) if "nomic-scaffold" in raw.tool else None
    except ValidationError as error:
        raise InputError(
            "[tool.nomic-scaffold] has no valid inputs-digest", path=path, hint=f"run {MADE_BY}"
        ) from error
    return PypiLock(
        requires_python=raw.requires_python or "",
        inputs_digest=tool.inputs_digest if tool else None,
        exclude_newer=tool.exclude_newer if tool else None,
        packages=tuple(_package(package, text, path, index) for index, package in enumerate(raw.packages)),
    )


def write(lock: PypiLock) -> str:
    """Write a lock; the same lock gives the same bytes, and no line names an index or a URL."""
    body = f"{_HEADER}{_body(lock)}"
    if not lock.inputs_digest:
        return body
    day = f'exclude-newer = "{lock.exclude_newer}"\n' if lock.exclude_newer else ""
    digests = f'inputs-digest = "{lock.inputs_digest}"\nbody-digest = "{body_digest(body)}"\n'
    return f"{body}{TABLE}{digests}{day}"


def _body(lock: PypiLock) -> str:
    lines = [
        'lock-version = "1.0"',
        'created-by = "nomic-scaffold"',
        f"requires-python = {_text(lock.requires_python)}",
    ]
    if not lock.packages:
        lines.append("packages = []")
    for package in sorted(lock.packages, key=lambda p: (p.name, p.version, p.marker or "")):
        lines += ["", "[[packages]]", f"name = {_text(package.name)}", f"version = {_text(package.version)}"]
        if package.marker:
            lines.append(f"marker = {_text(package.marker)}")
        lines.append("wheels = [")
        for file in sorted(package.files, key=lambda f: f.filename):
            size = "" if file.size is None else f"size = {file.size}, "
            place = _text(f"{WHEELS}/{file.filename}")
            lines.append(f'    {{ path = {place}, {size}hashes = {{ sha256 = "{file.sha256}" }} }},')
        lines.append("]")
    return "\n".join(lines) + "\n"


def _package(package: _Package, text: str, path: str, index: int) -> PypiPackage:
    def wrong(message: str) -> InputError:
        return InputError(
            f"{package.name}: {message}",
            path=path,
            line=_line(text, index),
            hint=f"name a release that has wheels in [pypi] of scaffold.toml, then: {MADE_BY}",
        )

    if package.vcs or package.directory or package.archive:
        raise wrong("comes from a repository, folder or archive, and not from wheels that an index serves")
    if package.version is None or not package.wheels:
        raise wrong(
            "has no version" if package.version is None else "has no wheel; only wheels are the same bytes for all"
        )
    files = []
    for wheel in package.wheels:
        sha256 = wheel.hashes.get("sha256", "")
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise wrong(f"{wheel.filename()} has no sha256")
        files.append(PypiFile(filename=wheel.filename(), sha256=sha256, size=wheel.size))
    return PypiPackage(name=package.name, version=package.version, marker=package.marker, files=tuple(files))


def _loads(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = int(line[1]) if line else len(text.splitlines())
        raise InputError(
            f"not valid TOML: {error}",
            path=path,
            line=number,
            hint=f"a merge conflict, perhaps; make it anew: {MADE_BY}",
        ) from error


def _line(text: str, index: int | None) -> int:
    """Find the line (from 1) where the package of this index starts; 1 for the file as a whole."""
    starts = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "[[packages]]"]
    return starts[index] if index is not None and index < len(starts) else 1


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
