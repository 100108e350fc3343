"""conda-lock's own format (version 1): read it, and write it byte for byte as conda-lock does, without importing it.

Importing conda_lock costs a second, and its pure Python YAML several more for locks of this size. That these bytes are
what conda-lock writes, and that it reads them, is held by tests/adapters/test_lock_conda_lock.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import yaml

from nomic_scaffold.errors import InputError
from nomic_scaffold.formats import lock_header
from nomic_scaffold.formats.builds import accelerator_of
from nomic_scaffold.models.lock import LockedPackage, LockFile, LockPaths, LockRecord, Manager
from nomic_scaffold.models.variant import Accelerator, Platform

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BLOCK = re.compile(r"(?m)^(?=- name: )")
_PLATFORM = re.compile(r"(?m)^  platform: (\S+)$")
_PLAIN = re.compile(r"https://[A-Za-z0-9_.~/%+-]+|[0-9a-f]*[a-df][0-9a-f]*[a-f][0-9a-f]*")
_MIN_HASH = 32
_NAME = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9_.-]*")
_QUOTED = re.compile(r"[>*][!-&(-~]*")
_FIELD = re.compile(r"(?m)^(?:- |  )(name|version|manager|platform): '?([^'\n]+)'?$")
_VALUE = r"(?:'[^'\n]*'|[^'\"\n#&*!|>%@`\[\]{},?: -][^'\"\n#:]*(?::[^ '\"\n#:][^'\"\n#:]*)*)"
_OWN = re.compile(
    rf"- name: (?P<name>{_VALUE})\n  version: (?P<version>{_VALUE})\n  manager: (?P<manager>conda|pip)\n"
    rf"  platform: (?P<platform>{'|'.join(Platform)})\n"
    rf"  dependencies:(?: {{}}\n|\n(?P<dependencies>(?:    {_VALUE}: {_VALUE}\n)+))  url: (?P<url>{_VALUE})\n"
    rf"  hash:(?: {{}}\n|\n(?P<hash>(?:    (?:md5|sha256): {_VALUE}\n)+))  category: main\n  optional: false\n"
)
_ARCHIVE = re.compile(r"^(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(?:conda|tar\.bz2)$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """The text of one package of one platform, as it stands in the file."""

    manager: str
    name: str
    platform: str
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What conda-lock sorts by."""
        return self.manager, self.name, self.platform

    @property
    def url(self) -> str:
        """The address, as written."""
        return self.text.partition("\n  url: ")[2].partition("\n")[0]


@dataclass(frozen=True, kw_only=True)
class LockText:
    """A lock as pieces of text, so that what is not locked anew stays as it is, byte for byte."""

    records: tuple[LockRecord, ...]
    content_hash: dict[Platform, str]
    channels: tuple[dict[str, Any], ...]
    blocks: tuple[Block, ...]


def split(text: str) -> LockText | None:
    """Take a lock of this tool apart; None when another tool wrote it or somebody edited its head."""
    records = lock_header.parse(text)
    head, found, rest = text.partition("\npackage:")
    if not records or not found:
        return None
    try:
        metadata = yaml.load(head, Loader=_LOADER)["metadata"]  # noqa: S506 - a safe loader
        written = () if rest.strip() == "[]" else _BLOCK.split(rest.removeprefix("\n"))
        blocks = tuple(_block(part) for part in written if part)
        return LockText(
            records=records,
            content_hash={Platform(name): str(value) for name, value in metadata["content_hash"].items()},
            channels=tuple(metadata["channels"]),
            blocks=blocks,
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return None


def join(pieces: LockText, accelerator: Accelerator) -> str:
    """Put a lock together: records, hashes and packages in a fixed order."""
    paths = LockPaths(accelerator=accelerator)
    up = "../" * paths.lock.count("/")
    records = sorted(pieces.records, key=lambda record: record.platform)
    metadata = {
        "content_hash": {str(name): pieces.content_hash[name] for name in sorted(pieces.content_hash)},
        "channels": [dict(channel) for channel in pieces.channels],
        "platforms": [str(record.platform) for record in records],
        "sources": [f"{up}environment.yml", f"{up}{paths.environment}".replace("../locks/", "")],
    }
    blocks = "".join(block.text for block in sorted(pieces.blocks, key=lambda block: block.key))
    packages = f"package:\n{blocks}" if blocks else "package: []\n"
    return lock_header.render(accelerator, records) + _dump({"version": 1, "metadata": metadata}) + packages


def subset(text: str, platforms: Iterable[Platform]) -> str:
    """Keep only `platforms` of a lock of this tool: the same bytes as locking only these.

    Raises InputError when the lock was written by another tool or lacks one of them.
    """
    wanted = set(platforms)
    pieces = split(text)
    if pieces is None or not wanted <= {record.platform for record in pieces.records}:
        raise InputError("is not a lock of this tool for these platforms", path="conda-lock.yml")
    kept = replace(
        pieces,
        records=tuple(record for record in pieces.records if record.platform in wanted),
        content_hash={name: value for name, value in pieces.content_hash.items() if name in wanted},
        blocks=tuple(block for block in pieces.blocks if block.platform in wanted),
    )
    return join(kept, _accelerator_of_header(text))


def package_digests(text: str) -> dict[str, str]:
    """Hash the text of each platform's packages, as records hold it; fast, since `lock --check` asks."""
    rest = text.partition("\npackage:")[2].removeprefix("\n")
    found: dict[str, list[str]] = {}
    for part in _BLOCK.split(rest):
        match = _PLATFORM.search(part)
        if match:
            found.setdefault(match[1], []).append(part)
    return {platform: _digest(parts) for platform, parts in found.items()}


def packages_digest(written: Iterable[Block]) -> str:
    """Hash the packages of one platform, in the order in which a file has them."""
    return _digest(block.text for block in sorted(written, key=lambda block: block.key))


def blocks(packages: Sequence[LockedPackage]) -> tuple[Block, ...]:
    """Write packages as conda-lock does."""
    return tuple(
        Block(manager=item.manager, name=item.name, platform=str(item.platform), text=_text(item)) for item in packages
    )


def parse(text: str, *, path: str = "conda-lock.yml", accelerator: Accelerator | None = None) -> LockFile:
    """Read any conda-lock file of version 1, ours or another tool's.

    `accelerator` None: told by its builds. Raises InputError with what is wrong.
    """
    pieces = split(text)
    own = read_pieces(pieces, accelerator or _accelerator_of_header(text)) if pieces else None
    if own is not None:
        return replace(own, outside=_outside(text))
    try:
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"not valid YAML: {getattr(error, 'problem', error)}",
            path=path,
            line=mark.line + 1 if mark else None,
            hint="nomic-scaffold lock --fresh writes it anew",
        ) from error
    if not isinstance(data, dict) or data.get("version") != 1:
        found = data.get("version") if isinstance(data, dict) else type(data).__name__
        raise InputError(f"is no conda-lock file of version 1 (found {found})", path=path)
    try:
        return replace(_lock_file(data, accelerator), outside=_outside(text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"lacks what conda-lock's format needs: {type(error).__name__} {error}",
            path=path,
            hint="nomic-scaffold lock --fresh writes it anew",
        ) from error


def read_pieces(pieces: LockText, accelerator: Accelerator) -> LockFile | None:
    """Read a lock of this tool line by line, ten times as fast as YAML; None when a line is not as we write it."""
    packages = [_package_of(block.text) for block in pieces.blocks]
    if any(package is None for package in packages):
        return None
    return LockFile(
        accelerator=accelerator,
        platforms=tuple(record.platform for record in pieces.records),
        channels=tuple(str(channel["url"]) for channel in pieces.channels),
        content_hash=pieces.content_hash,
        packages=tuple(package for package in packages if package is not None),
    )


def archive(url: str) -> tuple[str, str, str] | None:
    """Read name, version and build string of a conda package from its URL."""
    match = _ARCHIVE.match(url.partition("#")[0].rsplit("/", 1)[-1])
    return (match["name"], match["version"], match["build"]) if match else None


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("".join(parts).encode("utf-8")).hexdigest()


def _lock_file(data: Mapping[str, Any], accelerator: Accelerator | None) -> LockFile:
    metadata = data["metadata"]
    known = {str(platform) for platform in Platform}
    packages = tuple(dict.fromkeys(_package(item) for item in data["package"]))
    return LockFile(
        accelerator=accelerator or _guess(packages),
        platforms=tuple(Platform(name) for name in metadata["platforms"] if name in known),
        channels=tuple(str(channel["url"]) for channel in metadata["channels"]),
        content_hash={Platform(name): str(value) for name, value in metadata["content_hash"].items() if name in known},
        packages=tuple(package for package in packages if package.platform in known),
        other_platforms=tuple(str(name) for name in metadata["platforms"] if name not in known),
        other_packages=tuple(package for package in packages if package.platform not in known),
    )


def _outside(text: str) -> tuple[tuple[int, str], ...]:
    """Give the lines that are no package's: those of the list are the list item's and its indented ones."""
    found, listed = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] not in ("", " ", "-", "#"):
            listed = line.startswith("package:")
        if not listed or line.lstrip().startswith("#"):
            found.append((number, line))
    return tuple(found)


def _package(item: Mapping[str, Any]) -> LockedPackage:
    manager: Manager = "pip" if item["manager"] == "pip" else "conda"
    url = str(item["url"])
    parts = archive(url) if manager == "conda" else None
    hashes = item.get("hash") or {}
    return LockedPackage(
        name=str(item["name"]),
        version=str(item["version"]),
        manager=manager,
        platform=str(item["platform"]),
        url=url,
        sha256=hashes.get("sha256"),
        md5=hashes.get("md5"),
        depends=tuple(f"{name} {version or ''}".strip() for name, version in (item.get("dependencies") or {}).items()),
        build=parts[2] if parts else None,
    )


def _package_of(text: str) -> LockedPackage | None:
    match = _OWN.fullmatch(text)
    if match is None:
        return None
    manager: Manager = "pip" if match["manager"] == "pip" else "conda"
    url = _unquoted(match["url"])
    parts = archive(url) if manager == "conda" else None
    depends = [row.strip().partition(": ") for row in (match["dependencies"] or "").splitlines() if row]
    hashes = dict(row.strip().split(": ") for row in (match["hash"] or "").splitlines() if row)
    return LockedPackage(
        name=_unquoted(match["name"]),
        version=_unquoted(match["version"]),
        manager=manager,
        platform=Platform(match["platform"]),
        url=url,
        sha256=_unquoted(hashes["sha256"]) if "sha256" in hashes else None,
        md5=_unquoted(hashes["md5"]) if "md5" in hashes else None,
        depends=tuple(f"{_unquoted(name)} {_unquoted(version)}".strip() for name, _, version in depends),
        build=parts[2] if parts else None,
    )


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def _guess(packages: Iterable[LockedPackage]) -> Accelerator:
    found = {accelerator_of(package) for package in packages}
    return Accelerator.CUDA if Accelerator.CUDA in found else Accelerator.CPU


def _accelerator_of_header(text: str) -> Accelerator:
    """Tell a lock's accelerator from the files that its head names."""
    head = text.partition("\nversion:")[0]
    return next(item for item in Accelerator if LockPaths(accelerator=item).environment in head)


def _text(package: LockedPackage) -> str:
    """Write the fields in conda-lock's order; as PyYAML does, and twenty times as fast."""
    depends = sorted((name, version) for name, _, version in (line.partition(" ") for line in package.depends))
    hashes = [(name, value) for name, value in (("md5", package.md5), ("sha256", package.sha256)) if value]
    rows = [
        f"- name: {_scalar(package.name)}",
        f"  version: {_scalar(package.version)}",
        f"  manager: {package.manager}",
        f"  platform: {package.platform}",
        "  dependencies:" if depends else "  dependencies: {}",
        *(f"    {_scalar(name)}: {_scalar(version)}" for name, version in depends),
        f"  url: {_scalar(package.url)}",
        "  hash:" if hashes else "  hash: {}",
        *(f"    {name}: {_scalar(value)}" for name, value in hashes),
        "  category: main",
        "  optional: false",
    ]
    return "".join(f"{row}\n" for row in rows)


def _scalar(text: str) -> str:
    """Write one text as YAML: what is plain as it is, what begins like `>=` between quotes, the rest as PyYAML says."""
    if _NAME.fullmatch(text) or (len(text) >= _MIN_HASH and _PLAIN.fullmatch(text)):
        return text
    return f"'{text}'" if _QUOTED.fullmatch(text) else _other(text)


@cache
def _other(text: str) -> str:
    return _dump({"x": text}, width=1 << 20).removeprefix("x: ").removesuffix("\n")


def _block(text: str) -> Block:
    fields = dict(_FIELD.findall(text))
    return Block(manager=fields["manager"], name=fields["name"], platform=fields["platform"], text=text)


def _dump(data: object, *, width: int = 80) -> str:
    text = yaml.dump(data, Dumper=_DUMPER, sort_keys=False, width=width)
    assert isinstance(text, str)
    return text
