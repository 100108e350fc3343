"""Whole wheels by their hashes, from where pip would take them: for the proof of a lock's pip section."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters.weights import bring_wheels
from nomic_scaffold.adapters.weights.http import Patience
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.variant import Platform
from tests.support.conda_environment import Said
from tests.support.server import Fault, Served
from tests.support.simple_index import configured_index

NAME = "tea-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Served]:
    with configured_index(tmp_path) as served:
        yield served


@pytest.fixture
def tea(index: Served) -> LockedPackage:
    data = (index.folder / "files" / NAME).read_bytes()
    return LockedPackage(
        name="Tea",
        version="1.0",
        manager="pip",
        platform=Platform.LINUX_64,
        url=f"https://example.org/{NAME}",
        sha256=hashlib.sha256(data).hexdigest(),
        md5=None,
        size=len(data),
    )


def bring(package: LockedPackage, store: Path) -> list[str]:
    """Bring one wheel; give what was said."""
    said = Said()
    bring_wheels([package], store, progress=said, patience=Patience(attempts=1))
    return said.words


@pytest.mark.parametrize("known", [True, False], ids=["of known size", "of unknown size"])
def test_a_wheel_is_kept_under_its_hash(index: Served, tea: LockedPackage, tmp_path: Path, known: bool) -> None:
    package = tea if known else replace(tea, size=None)
    assert bring(package, tmp_path / "store") == []
    assert [path.relative_to(tmp_path / "store").as_posix() for path in (tmp_path / "store").rglob("*.whl")] == [
        f"{tea.sha256}/{NAME}"
    ]


@pytest.mark.parametrize("known", [True, False], ids=["of known size", "of unknown size"])
def test_other_bytes_are_said_and_not_kept(index: Served, tea: LockedPackage, tmp_path: Path, known: bool) -> None:
    wrong = replace(tea, sha256="0" * 64, size=tea.size if known else None)
    (said,) = bring(wrong, tmp_path / "store")
    assert said.startswith(f"not fetched: {NAME}: ")
    assert "other bytes" in said
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_an_index_that_does_not_answer_or_does_not_have_it_is_said(
    index: Served, tea: LockedPackage, tmp_path: Path
) -> None:
    (said,) = bring(replace(tea, name="coffee"), tmp_path / "store")
    assert said == f"not fetched: {NAME}: no index has coffee 1.0"
    index.faults["*"] = Fault(status=503)
    (said,) = bring(tea, tmp_path / "store")
    assert "answered 503" in said
