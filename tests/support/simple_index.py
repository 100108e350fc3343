"""A tiny package index on disk: wheels made on the spot, and the pages that list them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server import Fault, Served, serve

FILLER = {"tea/leaves.py": "LEAVES = 7\n\n\ndef brew() -> None:\n    print(LEAVES)\n", "tea/notes.txt": "green\n" * 400}


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    *,
    requires: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel with a module of the package's name, `files` beside it, and console `scripts`."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    contents = {f"{module}/__init__.py": f"VERSION = {version!r}\n", **(files or {})}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {line}\n" for line in requires
    )
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in contents.items())
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), text)
    return wheel


def publish(root: Path, *wheels: Path) -> None:
    """Add wheels to the index at `root`: files under files/, pages under simple/NAME/."""
    (root / "files").mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        shutil.copyfile(wheel, root / "files" / wheel.name)
    pages: dict[str, list[str]] = {}
    for file in sorted((root / "files").iterdir()):
        name = file.name.split("-")[0].replace("_", "-").lower()
        link = f"../../files/{file.name}#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}"
        pages.setdefault(name, []).append(f'<a href="{link}">{file.name}</a><br>')
    for name, links in pages.items():
        page = root / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!DOCTYPE html><html><body>\n" + "\n".join(links) + "\n</body></html>\n", encoding="utf-8")


def publish_times(served: Served, times: Mapping[str, str]) -> None:
    """Serve the pages of these packages in JSON, which says when a file was published; name -> time of its files.

    `name-version` in place of the name is for that version alone.
    """
    for page in sorted((served.folder / "simple").iterdir()):
        files = [
            {
                "filename": file.name,
                "url": f"{served.url}/files/{file.name}",
                "hashes": {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
                "size": file.stat().st_size,
                "upload-time": times.get("-".join(file.name.split("-")[:2]), times.get(page.name, times["*"])),
            }
            for file in sorted((served.folder / "files").iterdir())
            if file.name.split("-")[0].replace("_", "-").lower() == page.name
        ]
        body = json.dumps({"meta": {"api-version": "1.1"}, "name": page.name, "files": files}).encode()
        headers = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
        served.faults[f"/simple/{page.name}/"] = Fault(status=200, headers=headers, body=body)


@contextmanager
def configured_index(tmp_path: Path) -> Iterator[Served]:
    """Serve an index with `tea` (needs `cup`) and `cup`, and configure pip for it."""
    root = tmp_path / "index"
    made = tmp_path / "made"
    publish(
        root,
        make_wheel(made, "tea", "1.0", FILLER, requires=["cup>=1"], scripts={"brew": "tea.leaves:brew"}),
        make_wheel(made, "cup", "1.0"),
        make_wheel(made, "saucer", "1.0", {"tea/notes.txt": "black\n"}),
        make_wheel(made, "cup", "1.0", tag="cp311-cp311-win_amd64"),
    )
    with serve(root) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", f"{served.url}/simple")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        yield served


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
