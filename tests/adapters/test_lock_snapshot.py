"""On conda-forge's real records, where there is a snapshot of them: all variants, and what ships with the tool."""

from __future__ import annotations

import re
import time
from datetime import date
from pathlib import Path

import pytest

from nomic_scaffold.adapters.lock_files import check, read_inputs, read_locks
from nomic_scaffold.adapters.reference_locks import reference_locks
from nomic_scaffold.checks.lock import check_lock
from nomic_scaffold.formats import conda_lock, lock_inputs
from nomic_scaffold.models.lock import LockPaths
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Accelerator, Platform
from nomic_scaffold.workflows import lock as workflow
from tests.support.locking import snapshot
from tools.refresh_locks import SOURCE, digest

REPOSITORY = Path(__file__).resolve().parents[2]
RENDERED = REPOSITORY / "tests" / "data" / "golden-tree"
needs_snapshot = pytest.mark.skipif(snapshot() is None, reason="there is no snapshot of conda-forge's records here")


def rendered(name: str) -> str:
    """Read a file of the project that the default answers give."""
    (path,) = RENDERED.rglob(name)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOMIC_SCAFFOLD_REPODATA", str(tmp_path / "repodata"))
    for name in ("environment.yml", "scaffold.toml"):
        (tmp_path / name).write_text(rendered(name), encoding="utf-8")
    return tmp_path


def test_the_shipped_locks_are_of_the_default_answers_and_whole(project: Path) -> None:
    inputs = read_inputs(project)
    made = reference_locks(inputs)
    assert made is not None
    for name, text in made.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    findings = [finding for finding in check(project) if finding.lock != "locks/pylock.toml"]
    assert {finding.kind for finding in findings} == {"incomplete"}
    results = {result.code: result for result in check_lock(read_locks(project, inputs), findings)}
    assert results.pop("LCK002").status is Status.WARN
    assert {result.code for result in results.values() if result.status is not Status.PASS} == set()


def test_the_shipped_locks_name_no_package_index() -> None:
    for path in (REPOSITORY / "locks").rglob("*"):
        if path.is_file() and "tool" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"https?://([^/\s]+)", text)) <= {"conda.anaconda.org"}
            assert "manager: pip" not in text


def test_fewer_platforms_are_served_from_the_shipped_locks_too(project: Path) -> None:
    inputs = [item for item in read_inputs(project) if item.platform in (Platform.WIN_64, Platform.OSX_ARM64)]
    made = reference_locks(inputs)
    assert made is not None
    assert {package.platform for package in conda_lock.parse(made["conda-lock.yml"]).packages} == {
        Platform.WIN_64,
        Platform.OSX_ARM64,
    }
    assert conda_lock.parse(made["locks/cuda.conda-lock.yml"]).platforms == (Platform.WIN_64,)


def test_other_answers_are_not_served(project: Path) -> None:
    text = rendered("environment.yml").replace("python 3.13.*", "python 3.12.*")
    assert reference_locks(lock_inputs.read(text, rendered("scaffold.toml"))) is None


@needs_snapshot
@pytest.mark.snapshot
def test_every_variant_solves_and_gives_the_shipped_locks(project: Path) -> None:
    records = snapshot()
    assert records is not None
    wanted = workflow.Wanted(repodata=records, pypi=False)
    start = time.monotonic()
    result = workflow.lock(project, wanted, progress=Silent())
    assert time.monotonic() - start < 60  # seconds; benchmarks/lock.py measures
    assert len(result.variants) == 7
    if (REPOSITORY / "locks" / SOURCE).read_text(encoding="utf-8").strip() != f"records sha256:{digest(records)}":
        return  # the shipped locks were refreshed since, from the channel or from another snapshot
    made = reference_locks(read_inputs(project))
    assert made is not None
    for name, text in made.items():
        assert (project / name).read_text(encoding="utf-8") == text, f"{name}: nox -s refresh-locks"


@needs_snapshot
@pytest.mark.snapshot
def test_conda_lock_reads_and_writes_the_real_locks_alike(tmp_path: Path) -> None:
    from conda_lock.lockfile import parse_conda_lock_file, write_conda_lock_file

    ours = REPOSITORY / "locks" / "cuda.conda-lock.yml"
    theirs = tmp_path / "theirs.yml"
    write_conda_lock_file(parse_conda_lock_file(ours), theirs, metadata_choices=None, include_help_text=False)
    body = "".join(row for row in ours.read_text().splitlines(keepends=True) if not row.startswith("#"))
    assert theirs.read_text() == body


@needs_snapshot
@pytest.mark.snapshot
def test_one_package_can_be_moved_alone_on_real_records(project: Path) -> None:
    workflow.lock(
        project,
        workflow.Wanted(repodata=snapshot(), pypi=False, exclude_newer=date(2026, 7, 1), variants=("cpu",)),
        progress=Silent(),
    )
    path = LockPaths(accelerator=Accelerator.CPU).lock
    before = conda_lock.parse((project / path).read_text(encoding="utf-8"))
    workflow.lock(
        project,
        workflow.Wanted(repodata=snapshot(), pypi=False, upgrade=("certifi",), variants=("cpu",)),
        progress=Silent(),
    )
    after = conda_lock.parse((project / path).read_text(encoding="utf-8"))
    moved = {package.name for package in set(before.packages) ^ set(after.packages)}
    assert moved <= {"certifi", "ca-certificates"}
    assert "certifi" in moved
