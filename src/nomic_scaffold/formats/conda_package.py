"""Read what a conda package's `info/` says, and refuse what no package may say."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, cast

from nomic_scaffold.formats.conda_members import Member, by_place, leaves, outside, plain, refusal
from nomic_scaffold.models.package import EntryPoint, FileMode, Noarch, PackagedFile, PackageManifest, PythonLayout

_VERSION = 2
OLD_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"
"""What `info/has_prefix` of old packages means when it names no placeholder."""


INFO = ("files", "has_prefix", "index.json", "link.json", "no_link", "no_softlink", "paths.json")
"""What installers read of `info/`."""


def manifest(info: Mapping[str, bytes], members: Iterable[Member], *, package: str) -> PackageManifest:
    """Make the manifest of a package from the files of its `info/` (without `info/`) and the entries of its archive.

    Raises InputError for a package that would write outside its prefix, or whose parts contradict each other.
    """
    by_name = by_place(members, package=package)
    try:
        index = json.loads(info["index.json"])
        link = json.loads(info["link.json"]) if "link.json" in info else {}
        entries = json.loads(info["paths.json"])["paths"] if "paths.json" in info else _old_paths(info, by_name)
        noarch = _noarch(index.get("noarch"))
        points = link.get("noarch", {}).get("entry_points", []) if noarch == "python" else []
        return PackageManifest(
            name=index["name"],
            version=index["version"],
            build=index["build"],
            noarch=noarch,
            files=tuple(_file(entry, by_name, package) for entry in entries),
            entry_points=tuple(_entry_point(text, package) for text in points),
            site_packages=_site_packages(index, package),
            info=_hashes(info),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refusal(package, f"its info folder can't be read ({type(error).__name__}: {error})") from error


def _hashes(info: Mapping[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, hashlib.sha256(info[name]).hexdigest()) for name in INFO if name in info)


def _noarch(value: object) -> Noarch | None:
    return "python" if value == "python" else "generic" if value else None


def _site_packages(index: Mapping[str, Any], package: str) -> str | None:
    path = index.get("python_site_packages_path")
    if path is not None and outside(str(path)):
        raise refusal(package, f"its site-packages folder {path!r} leads outside")
    return None if path is None else str(path)


def _file(entry: Mapping[str, Any], members: Mapping[str, Member], package: str) -> PackagedFile:
    path = str(entry["_path"])
    if reason := outside(path):
        raise refusal(package, f"its file {path!r} {reason}")
    member = members.get(plain(path))
    if entry["path_type"] == "directory":
        return PackagedFile(path, None, 0, member.mode if member else 0o755)
    if member is None:
        raise refusal(package, f"it lists {path!r} and does not hold it")
    if member.kind == "link":
        return PackagedFile(path, None, len(member.target.encode()), 0o777, link=member.target)
    size = int(entry.get("size_in_bytes", member.size))
    if member.kind == "file" and size != member.size:
        raise refusal(package, f"it says that {path!r} has {size} bytes, and holds {member.size}")
    digest = entry.get("sha256") or member.sha256
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise refusal(package, f"it gives no sha256 of {path!r}")
    placeholder = entry.get("prefix_placeholder")
    mode: FileMode | None = None
    if placeholder:
        mode = "binary" if entry.get("file_mode") == "binary" else "text"
    return PackagedFile(path, digest, size, member.mode, placeholder=placeholder or None, file_mode=mode)


def _entry_point(text: str, package: str) -> EntryPoint:
    command, _, target = (part.strip() for part in text.partition("="))
    module, _, function = (part.strip() for part in target.partition(":"))
    if not re.fullmatch(r"[^/\\\0]+", command) or command in (".", ".."):
        raise refusal(package, f"its program {command!r} is no file name")
    if not all(re.fullmatch(r"[\w.]+", part) for part in (module, function)):
        raise refusal(package, f"its program {command!r} calls {target!r}")
    return EntryPoint(command, module, function)


def _old_paths(info: Mapping[str, bytes], members: Mapping[str, Member]) -> list[dict[str, Any]]:
    """Make the entries of `paths.json` for packages from before it."""
    prefixed = {}
    for line in info.get("has_prefix", b"").decode().splitlines():
        parts = shlex.split(line, posix=True)
        if len(parts) == 3:
            prefixed[parts[2]] = (parts[0], parts[1])
        elif parts:
            prefixed[parts[0]] = (OLD_PLACEHOLDER, "text")
    entries = []
    for path in info["files"].decode().splitlines():
        entry: dict[str, Any] = {"_path": path, "path_type": "softlink" if members[path].kind == "link" else "hardlink"}
        if path in prefixed:
            entry["prefix_placeholder"], entry["file_mode"] = prefixed[path]
        entries.append(entry)
    return entries


def agrees(noted: PackageManifest, info: Mapping[str, bytes]) -> bool:
    """Say whether a manifest noted earlier is what a package's own `info/` says: names, contents, programs.

    Modes and what links say are in the archive's payload only: of these no more is known here than that no link leads
    outside.
    """
    try:
        index, paths = json.loads(info["index.json"]), json.loads(info["paths.json"])["paths"]
        points = json.loads(info["link.json"])["noarch"].get("entry_points", []) if noted.noarch == "python" else []
        if (index["name"], index["version"], index["build"]) != (noted.name, noted.version, noted.build):
            return False
        if (
            _noarch(index.get("noarch")) != noted.noarch
            or index.get("python_site_packages_path") != noted.site_packages
        ):
            return False
        if noted.info != _hashes(info):
            return False
        if tuple(_entry_point(text, noted.name) for text in points) != noted.entry_points:
            return False
        links = {file.path: file.link for file in noted.files if file.link is not None}
        if any(leaves(path, links) for path in links):
            return False
        return len(paths) == len(noted.files) and all(map(_same, paths, noted.files))
    except (KeyError, TypeError, ValueError):
        return False


def _same(entry: Mapping[str, Any], file: PackagedFile) -> bool:
    if entry["_path"] != file.path or (entry.get("prefix_placeholder") or None) != file.placeholder:
        return False
    kind = "directory" if file.folder else "hardlink" if file.link is None else "softlink"
    if entry["path_type"] != kind or file.sha256 is None:
        return bool(entry["path_type"] == kind)
    size, binary = entry.get("size_in_bytes", file.size), entry.get("file_mode") == "binary"
    return (entry.get("sha256"), size) == (file.sha256, file.size) and (
        file.placeholder is None or binary == (file.file_mode == "binary")
    )


def dumps(value: PackageManifest) -> bytes:
    """Write a manifest; the first line is the sha256 of the rest."""
    files = [[f.path, f.sha256, f.size, f.mode, f.link, f.placeholder, f.file_mode] for f in value.files]
    points = [[p.command, p.module, p.function] for p in value.entry_points]
    head = [_VERSION, value.name, value.version, value.build, value.noarch, value.site_packages]
    body = json.dumps([head, points, files, value.info], ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def loads(data: bytes) -> PackageManifest | None:
    """Read what `dumps` wrote; None when it is damaged or from another version."""
    digest, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    (version, name, package_version, build, noarch, site_packages), points, files, *more = json.loads(body)
    if version != _VERSION:
        return None
    return PackageManifest(
        name,
        package_version,
        build,
        cast("Noarch | None", noarch),
        tuple(PackagedFile(*file) for file in files),
        tuple(EntryPoint(*point) for point in points),
        site_packages,
        tuple((name, digest) for name, digest in more[0]),
    )


def python_layout(version: str, *, windows: bool, site_packages: str | None = None) -> PythonLayout:
    """Say where Python `version` (e.g. `3.13.1`) keeps things in a conda environment."""
    short = ".".join(version.split(".")[:2])
    if windows:
        return PythonLayout(short, site_packages or "Lib/site-packages", "Scripts", "python.exe")
    return PythonLayout(short, site_packages or f"lib/python{short}/site-packages", "bin", f"bin/python{short}")


def placed(path: str, noarch: Noarch | None, python: PythonLayout | None) -> str:
    """Say where a package's file goes in an environment."""
    if noarch == "python" and python is not None:
        if path.startswith("site-packages/"):
            return python.site_packages + path[len("site-packages") :]
        if path.startswith("python-scripts/"):
            return python.scripts + path[len("python-scripts") :]
    return path
