"""Lock a small project against a channel of records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nomic_scaffold.models.progress import Silent
from nomic_scaffold.workflows import lock as workflow
from nomic_scaffold.workflows.lock import LockResult, Wanted
from tests.support import records
from tests.support.records import Record
from tests.support.server import Served, serve

FORGE = "https://conda.anaconda.org/conda-forge"


@dataclass
class Site:
    """A channel that is served, and a project that locks against it."""

    folder: Path
    served: Served
    root: Path
    held: list[Record] = field(default_factory=list)

    def publish(self, *more: Record) -> None:
        """Put more packages into the channel."""
        self.held += more
        records.write(self.folder, self.held)

    def lock(self, **wanted: object) -> LockResult:
        """Lock the project's conda part."""
        return workflow.lock(self.root, Wanted(**{"pypi": False, **wanted}), progress=Silent())  # type: ignore[arg-type]

    def text(self, path: str = "conda-lock.yml") -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        text = self.text(path)
        assert old in text
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")

    def texts(self) -> dict[str, str]:
        """Give every file of the project, but for the tool's own state."""
        return {
            path.relative_to(self.root).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".nomic-scaffold" not in path.parts
        }


@contextmanager
def site(folder: Path, monkeypatch: pytest.MonkeyPatch, **project: object) -> Iterator[Site]:
    """Serve a channel and write a project that knows it as conda-forge."""
    channel = records.write(folder / "channel", records.world())
    with serve(channel) as served:
        monkeypatch.setenv("NOMIC_SCAFFOLD_MIRRORS", f"{FORGE}={served.url}")
        monkeypatch.setenv("NOMIC_SCAFFOLD_REPODATA", str(folder / "repodata"))
        monkeypatch.setenv("HOME", str(folder))
        root = records.project(folder / "project", **project)  # type: ignore[arg-type]
        yield Site(folder=channel, served=served, root=root, held=list(records.world()))


def snapshot() -> Path | None:
    """Find a local snapshot of conda-forge's records: NOMIC_SCAFFOLD_SNAPSHOT, or beside this repository."""
    if given := os.environ.get("NOMIC_SCAFFOLD_SNAPSHOT"):
        return Path(given)
    beside = Path(__file__).resolve().parents[3] / "shared" / "conda-forge-snapshot"
    return beside if (beside / "noarch").is_dir() else None
