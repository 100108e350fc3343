"""Each broken lock is found out, by its own code and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters import lock_files
from nomic_scaffold.checks.lock import check_lock
from nomic_scaffold.formats.lock_check import Finding
from nomic_scaffold.models.lock import LockFile, LockSet
from nomic_scaffold.models.report import CheckResult, Status
from nomic_scaffold.models.variant import Accelerator

BROKEN = Path(__file__).parents[1] / "data" / "broken-locks"
FILES = sorted(BROKEN.glob("LCK*.yml"))


def judge(path: Path, accelerator: Accelerator | None = None) -> dict[str, CheckResult]:
    lock = lock_files.read_lock(path, name=path.name, accelerator=accelerator)
    return {result.code: result for result in check_lock(LockSet(locks={path.name: lock}, explicit={}), None)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_broken_lock_fails_its_own_check_only(path: Path) -> None:
    results = judge(path)
    failed = {code for code, result in results.items() if result.status is Status.FAIL}
    assert failed == {path.stem.partition("-")[0]}
    told = next(result for result in results.values() if result.status is Status.FAIL)
    assert path.name in told.detail
    assert told.hint
    assert told.place is not None


def test_a_whole_lock_passes_every_check() -> None:
    assert {result.status for result in judge(BROKEN / "whole.yml").values()} == {Status.PASS}


def test_every_check_of_a_lock_by_itself_has_a_broken_file() -> None:
    codes = set(judge(BROKEN / "whole.yml"))
    assert {path.stem.partition("-")[0] for path in FILES} == codes


def test_a_secret_is_never_repeated() -> None:
    for path in FILES:
        told = " ".join(result.detail for result in judge(path).values())
        assert not any(secret in told for secret in ("hunter2", "to-ken", "abcdef"))


def test_what_could_not_be_read_is_not_passed() -> None:
    results = judge(BROKEN / "LCK001-conflict.yml")
    assert results.pop("LCK001").status is Status.FAIL
    assert {result.status for result in results.values()} == {Status.UNKNOWN}


def test_no_lock_is_unknown() -> None:
    results = check_lock(LockSet(locks={}, explicit={}), [])
    assert results[0].status is Status.UNKNOWN
    assert results[0].hint == "nomic-scaffold lock"


def test_a_cpu_build_in_a_cuda_lock_is_a_mixture() -> None:
    results = judge(BROKEN / "whole.yml", Accelerator.CUDA)
    assert results["LCK011"].status is Status.FAIL
    assert "is a CPU build in a CUDA lock" in results["LCK011"].detail


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        pytest.param([], Status.PASS, id="fresh"),
        pytest.param(["incomplete"], Status.WARN, id="only the pip section waits"),
        pytest.param(["incomplete", "changed"], Status.FAIL, id="changed"),
    ],
)
def test_a_stale_lock_fails_and_an_incomplete_one_warns(kinds: list[str], status: Status) -> None:
    findings = [Finding(kind=kind, message="says why", file="environment.yml", line=7) for kind in kinds]  # type: ignore[arg-type]
    lock = lock_files.read_lock(BROKEN / "whole.yml", name="conda-lock.yml")
    results = {r.code: r for r in check_lock(LockSet(locks={"conda-lock.yml": lock}, explicit={}), findings)}
    assert results["LCK002"].status is status
    if kinds:
        assert results["LCK002"].place is not None
        assert (results["LCK002"].place.file, results["LCK002"].place.line) == ("environment.yml", 7)


def test_explicit_files_are_held_against_the_lock() -> None:
    lock = lock_files.read_lock(BROKEN / "whole.yml", name="conda-lock.yml")
    assert isinstance(lock, LockFile)
    lock = replace(lock, platforms=lock.platforms[:1])
    name = "locks/explicit/linux-64-cpu.sha256.txt"
    rows = tuple((p.url, p.sha256 or "") for p in lock.on(lock.platforms[0]) if p.manager == "conda")

    def status(listed: tuple[tuple[str, str], ...] | None) -> Status:
        locks = LockSet(locks={"conda-lock.yml": lock}, explicit={name: listed})
        return {result.code: result for result in check_lock(locks, None)}["LCK013"].status

    assert status(rows) is Status.PASS
    assert status(rows[1:]) is Status.FAIL
    assert status(((rows[0][0], "0" * 64), *rows[1:])) is Status.FAIL
    assert status(None) is Status.FAIL
