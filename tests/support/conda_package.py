"""Write conda packages (`.conda` and `.tar.bz2`) from bytes: same input, same bytes."""

from __future__ import annotations

import bz2
import hashlib
import importlib.util
import io
import json
import marshal
import os
import platform
import struct
import tarfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import zstandard

EPOCH = 1_767_225_600
"""2026-01-01T00:00:00Z, the time stamp of everything here."""
PLACEHOLDER = "/opt/" + "placehold_" * 20 + "placehold"
"""Long on purpose: a binary placeholder must have room for the prefix."""

HERE = "linux-aarch64" if platform.machine() in ("aarch64", "arm64") else "linux-64"
"""The platform that packages are made for when nothing else is said: this machine's, on Linux."""

FileMode = Literal["text", "binary"]


@dataclass(frozen=True)
class File:
    """One file of a package."""

    content: bytes | Path
    mode: int = 0o644
    placeholder: FileMode | None = None

    def read(self) -> bytes:
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


@dataclass
class Package:
    """A package being made."""

    name: str
    version: str
    build: str
    subdir: str = HERE
    number: int = 0
    noarch: Literal["python", "generic"] | None = None
    depends: list[str] = field(default_factory=list)
    constrains: list[str] = field(default_factory=list)
    license: str = "Apache-2.0"
    files: dict[str, File] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    entry_points: list[str] = field(default_factory=list)
    extension: Literal[".conda", ".tar.bz2"] = ".conda"
    level: int = 3
    raw_members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)
    """Members put into the archive as they are, and into no list: how hostile archives are made."""
    raw_info: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)
    """The same, beside the archive's `info/`."""
    info: dict[str, bytes] = field(default_factory=dict)
    """Files of `info/` to write as they are, e.g. `info/paths.json`."""
    lists: Literal["paths.json", "files"] = "paths.json"
    """`files`: as in packages from before paths.json."""

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.build}{self.extension}"

    def add(self, path: str, content: bytes | Path, mode: int = 0o644, placeholder: FileMode | None = None) -> None:
        self.files[path] = File(content, mode, placeholder)

    def add_compiled(self, path: str) -> None:
        """Add what Python compiles of a module of this package, as conda-forge's packages for one Python have it."""
        source = self.files[path].read()
        code = compile(source, path, "exec", dont_inherit=True)
        body = marshal.dumps(code)
        head = importlib.util.MAGIC_NUMBER + struct.pack("<3I", 0, EPOCH, len(source))
        self.add(importlib.util.cache_from_source(path), head + body)

    def write(self, channel: Path) -> Path:
        """Write the package into its subdir of `channel`."""
        out = channel / self.subdir / self.file_name
        out.parent.mkdir(parents=True, exist_ok=True)
        payload, entries = self._payload()
        info = self._info(entries)
        data = self._conda(payload, info) if self.extension == ".conda" else bz2.compress(_tar([*payload, *info]), 1)
        temporary = out.with_suffix(".part")
        temporary.write_bytes(data)
        temporary.replace(out)
        return out

    def _payload(self) -> tuple[list[tuple[tarfile.TarInfo, bytes]], list[dict[str, object]]]:
        members, entries = [], []
        for path in sorted({*self.files, *self.links}):
            member = tarfile.TarInfo(path)
            if path in self.links:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, self.links[path], 0o777
                data = self._linked(path)  # conda-build hashes the file that a link leads to
                members.append((member, b""))
            else:
                data, member.mode = self.files[path].read(), self.files[path].mode
                members.append((member, data))
            entry: dict[str, object] = {
                "_path": path,
                "path_type": "softlink" if path in self.links else "hardlink",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size_in_bytes": len(data),
            }
            if path in self.files and (mode := self.files[path].placeholder):
                entry |= {"file_mode": mode, "prefix_placeholder": PLACEHOLDER}
            entries.append(entry)
        return [*members, *self.raw_members], entries

    def _linked(self, path: str) -> bytes:
        while path in self.links:
            path = os.path.normpath(PurePosixPath(path).parent / self.links[path])
        return self.files[path].read() if path in self.files else b""

    def _info(self, entries: list[dict[str, object]]) -> list[tuple[tarfile.TarInfo, bytes]]:
        system, _, arch = self.subdir.partition("-")
        index = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": self.number,
            "subdir": self.subdir,
            "license": self.license,
            "depends": self.depends,
            "constrains": self.constrains,
            "timestamp": EPOCH * 1000,
            "platform": None if self.noarch else system,
            "arch": None if self.noarch else {"64": "x86_64"}.get(arch, arch),
        } | ({"noarch": self.noarch} if self.noarch else {})
        texts: dict[str, object] = {
            "index.json": index,
            "paths.json": {"paths": entries, "paths_version": 1},
            "about.json": {"license": self.license, "summary": f"{self.name}, made for tests", "home": ""},
        }
        if self.noarch == "python":
            noarch = {"type": "python", "entry_points": self.entry_points}
            texts["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
        blobs = {f"info/{name}": (json.dumps(value, indent=1) + "\n").encode() for name, value in texts.items()}
        blobs["info/files"] = "".join(f"{entry['_path']}\n" for entry in entries).encode()
        prefixed = [(path, file.placeholder) for path, file in sorted(self.files.items()) if file.placeholder]
        if prefixed:
            lines = (f'"{PLACEHOLDER}" {mode} "{path}"\n' for path, mode in prefixed)
            blobs["info/has_prefix"] = "".join(lines).encode()
        if self.lists == "files":
            del blobs["info/paths.json"]
        blobs |= self.info
        return [*((tarfile.TarInfo(name), blobs[name]) for name in sorted(blobs)), *self.raw_info]

    def _conda(self, payload: list[tuple[tarfile.TarInfo, bytes]], info: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
        squeeze = zstandard.ZstdCompressor(level=self.level, threads=2)
        stem = self.file_name.removesuffix(".conda")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for name, data in (
                ("metadata.json", b'{"conda_pkg_format_version": 2}'),
                (f"pkg-{stem}.tar.zst", squeeze.compress(_tar(payload))),
                (f"info-{stem}.tar.zst", squeeze.compress(_tar(info))),
            ):
                member = zipfile.ZipInfo(name, time.gmtime(EPOCH)[:6])
                member.external_attr = 0o644 << 16
                archive.writestr(member, data)
        return out.getvalue()


def _tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in members:
            member.mtime = EPOCH
            if member.isreg():
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()
