"""Environments out of wheels, with the real uv against an index on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nomic_scaffold.adapters import pypi
from nomic_scaffold.adapters.project import find_prefix
from nomic_scaffold.checks.environment_pypi import check_pypi_environment
from nomic_scaffold.errors import (
    ExitCode,
    HashMismatchError,
    ScaffoldError,
    ToolMissingError,
    UnavailableError,
    UnsolvableError,
)
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.evidence import EnvironmentEvidence, Unavailable
from nomic_scaffold.models.lock import PypiLock
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.report import Status
from tests.support.server import Fault, Served
from tests.support.simple_index import configured_index, make_wheel, publish


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Served]:
    with configured_index(tmp_path) as served:
        yield served


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "my project 项目"
    (folder / "locks").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[PypiLock, Path]:
    """A lock, and a project with its environment: to be copied, not touched."""
    folder = tmp_path_factory.mktemp("finished")
    project = folder / "my project 项目"
    with configured_index(folder):
        made = lock(project)
        install(made, project)
    return made, project


@pytest.fixture
def copied(finished: tuple[PypiLock, Path], tmp_path: Path) -> tuple[PypiLock, Path, Prefix]:
    made, project = finished
    root = tmp_path / project.name
    shutil.copytree(project, root, symlinks=True)
    prefix = find_prefix(root)
    assert prefix is not None
    return made, root, prefix


def lock(root: Path, **options: object) -> PypiLock:
    arguments = {"python": "3.11", "destination": root / "locks" / "pylock.toml", "offline": False} | options
    return pypi.lock(["tea"], progress=Silent(), **arguments)  # type: ignore[arg-type]


def install(made: PypiLock, root: Path, **options: object) -> Prefix:
    arguments = {"offline": False, "progress": Silent()} | options
    return pypi.install(made, root / ".nomic-scaffold" / "envs" / "pypi", **arguments)  # type: ignore[arg-type]


def look(prefix: Prefix, root: Path) -> EnvironmentEvidence:
    seen = pypi.inspect(prefix, root, progress=Silent())
    assert isinstance(seen, EnvironmentEvidence)
    return seen


def site(prefix: Prefix) -> Path:
    return next(prefix.path.glob("lib/python*/site-packages"), prefix.path / "Lib" / "site-packages")


def left_behind(root: Path) -> list[str]:
    return sorted(p.name for p in (root / ".nomic-scaffold" / "envs").iterdir() if p.name != ".pypi.lock")


def test_a_lock_names_files_by_hash_and_no_index(index: Served, root: Path) -> None:
    made = lock(root)
    text = (root / "locks" / "pylock.toml").read_text(encoding="utf-8")
    assert {(p.name, p.version, len(p.files)) for p in made.packages} == {("tea", "1.0", 1), ("cup", "1.0", 2)}
    assert "://" not in text
    assert "127.0.0.1" not in text
    assert pylock.parse(text) == made
    assert made.inputs_digest == pylock.inputs_digest(("tea",), "3.11")
    lock(root)
    assert (root / "locks" / "pylock.toml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("upgrade", "versions"),
    [((), {"1.0"}), (("cup",), {"1.0", "2.0"}), ("all", {"2.0"})],
    ids=["keeps", "one", "all"],
)
def test_a_new_lock_keeps_versions_but_for_those_to_upgrade(
    index: Served, root: Path, tmp_path: Path, upgrade: object, versions: set[str]
) -> None:
    lock(root)
    made = tmp_path / "made"
    publish(index.folder, make_wheel(made, "tea", "2.0", requires=["cup>=1"]), make_wheel(made, "cup", "2.0"))
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    assert {p.version for p in lock(root, upgrade=upgrade).packages} == versions


def test_a_lock_with_a_merge_conflict_is_made_anew(index: Served, root: Path) -> None:
    lock(root)
    path = root / "locks" / "pylock.toml"
    whole = path.read_text(encoding="utf-8")
    path.write_text("<<<<<<< HEAD\n" + whole, encoding="utf-8")
    lock(root)
    assert path.read_text(encoding="utf-8") == whole


def test_what_has_no_wheel_can_not_be_locked(index: Served, root: Path) -> None:
    page = index.folder / "simple" / "cup" / "index.html"
    page.write_text('<a href="../../files/cup-1.0.tar.gz#sha256=' + "0" * 64 + '">cup-1.0.tar.gz</a>', encoding="utf-8")
    with pytest.raises(UnsolvableError, match="cup"):
        lock(root)


def test_folders_of_this_machine_do_not_narrow_a_lock(
    index: Served, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path / "near", make_wheel(tmp_path / "near-made", "cup", "1.0"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", (tmp_path / "near" / "simple").as_uri())
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "near" / "files"))
    assert {len(p.files) for p in lock(root).packages if p.name == "cup"} == {2}


def test_an_installed_environment_runs_and_every_check_passes(index: Served, root: Path) -> None:
    made = lock(root)
    prefix = install(made, root)
    run = subprocess.run([prefix.python, "-c", "import tea; print(tea.VERSION)"], capture_output=True, check=True)
    assert run.stdout.split() == [b"1.0"]
    script = prefix.python.with_name("brew.exe" if os.name == "nt" else "brew")
    assert subprocess.run([script], check=False, capture_output=True).returncode == 0
    assert find_prefix(root) == prefix
    evidence = look(prefix, root)
    assert evidence.findings == ()
    assert [p.name for p in evidence.packages] == ["cup", "tea"]
    results = check_pypi_environment(made, evidence)
    assert {r.status for r in results} == {Status.PASS}, results
    assert [r.code for r in results] == [f"ENV00{n}" for n in (1, 8, 2, 3, 4, 5, 6, 9, 7)]


def test_a_finished_environment_is_left_alone(index: Served, root: Path) -> None:
    made = lock(root)
    prefix = install(made, root)
    before, asked = prefix.python.lstat().st_ino, len(index.requests)
    started = time.monotonic()
    assert install(made, root) == prefix
    assert time.monotonic() - started < 1
    assert (prefix.python.lstat().st_ino, len(index.requests)) == (before, asked)


def test_a_damaged_environment_is_made_anew_by_the_same_command(index: Served, root: Path) -> None:
    made = lock(root)
    prefix = install(made, root)
    (site(prefix) / "tea" / "leaves.py").unlink()
    assert look(install(made, root), root).findings == ()
    flip_a_byte(prefix)  # which the quick look of `install` does not see
    install(made, root)
    assert look(prefix, root).findings != ()
    assert look(install(made, root, fresh=True), root).findings == ()


def replace_package(prefix: Prefix) -> None:
    """What `pip install --upgrade` leaves: other files, another RECORD."""
    folder = site(prefix)
    shutil.rmtree(folder / "cup")
    shutil.rmtree(next(folder.glob("cup-*.dist-info")))
    with tempfile.TemporaryDirectory() as scratch:
        shutil.unpack_archive(make_wheel(Path(scratch), "cup", "1.1"), folder, "zip")


def same_version_other_build(prefix: Prefix) -> None:
    folder = site(prefix)
    shutil.rmtree(next(folder.glob("cup-*.dist-info")))
    with tempfile.TemporaryDirectory() as scratch:
        shutil.unpack_archive(make_wheel(Path(scratch), "cup", "1.0", {"cup/more.py": "x = 1\n"}), folder, "zip")


def flip_a_byte(prefix: Prefix) -> None:
    path = site(prefix) / "tea" / "leaves.py"
    path.write_bytes(path.read_bytes().replace(b"7", b"8"))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"#\n")


def remove_package(prefix: Prefix) -> None:
    folder = site(prefix)
    shutil.rmtree(folder / "cup")
    shutil.rmtree(next(folder.glob("cup-*.dist-info")))


TAMPERINGS: dict[str, tuple[Callable[[Prefix], object], dict[str, Status], str]] = {
    "byte flipped": (flip_a_byte, {"ENV009": Status.FAIL}, "tea/leaves.py"),
    "line added": (
        lambda p: append(site(p) / "tea" / "leaves.py"),
        {"ENV006": Status.FAIL, "ENV009": Status.FAIL},
        "tea/leaves.py",
    ),
    "file deleted": (
        lambda p: (site(p) / "tea" / "notes.txt").unlink(),
        {"ENV006": Status.FAIL, "ENV009": Status.FAIL},
        "tea/notes.txt",
    ),
    "foreign module": (
        lambda p: (site(p) / "sitecustomize.py").write_text("import os\n"),
        {"ENV007": Status.FAIL},
        "sitecustomize.py",
    ),
    "foreign .pth": (
        lambda p: (site(p) / "x.pth").write_text("import os\n"),
        {"ENV007": Status.FAIL},
        "x.pth",
    ),
    "foreign program": (
        lambda p: (p.python.parent / "brew2").write_text("#!/bin/sh\n"),
        {"ENV007": Status.FAIL},
        "brew2",
    ),
    "program changed": (
        lambda p: append(next(p.python.parent.glob("brew*"))),
        {"ENV006": Status.FAIL, "ENV009": Status.FAIL},
        "brew",
    ),
    "venv's own file changed": (
        lambda p: append(p.path / "pyvenv.cfg"),
        {"ENV009": Status.FAIL},
        "pyvenv.cfg",
    ),
    "package replaced": (
        replace_package,
        {"ENV004": Status.FAIL, "ENV005": Status.UNKNOWN},
        "cup is 1.1, locked 1.0",
    ),
    "same version, other build": (same_version_other_build, {"ENV005": Status.UNKNOWN}, "cup"),
    "package removed": (remove_package, {"ENV002": Status.FAIL}, "cup 1.0"),
    "package added": (
        lambda p: shutil.unpack_archive(make_wheel(p.path.parent / "w", "spoon", "3"), site(p), "zip"),
        {"ENV003": Status.FAIL},
        "spoon 3",
    ),
    "RECORD deleted": (
        lambda p: (next(site(p).glob("tea-*.dist-info")) / "RECORD").unlink(),
        {"ENV005": Status.UNKNOWN, "ENV006": Status.UNKNOWN, "ENV007": Status.FAIL, "ENV009": Status.UNKNOWN},
        "tea",
    ),
}


@pytest.mark.parametrize(("tamper", "expected", "named"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_is_found_and_named(
    copied: tuple[PypiLock, Path, Prefix],
    tamper: Callable[[Prefix], object],
    expected: dict[str, Status],
    named: str,
) -> None:
    made, root, prefix = copied
    tamper(prefix)
    results = check_pypi_environment(made, look(prefix, root))
    assert {r.code: r.status for r in results if r.status is not Status.PASS} == expected
    assert any(named in r.detail for r in results if r.code in expected)
    assert all(r.hint for r in results if r.code in expected)


def test_a_copied_environment_still_is_the_lock(copied: tuple[PypiLock, Path, Prefix]) -> None:
    made, root, prefix = copied
    assert {r.status for r in check_pypi_environment(made, look(prefix, root))} == {Status.PASS}


def test_compiled_caches_are_nobodys_business(copied: tuple[PypiLock, Path, Prefix]) -> None:
    _, root, prefix = copied
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([prefix.python, "-c", "import tea.leaves"], check=True, env=environ)
    assert list(site(prefix).rglob("*.pyc"))
    assert look(prefix, root).findings == ()


def test_without_an_environment_nothing_is_claimed(copied: tuple[PypiLock, Path, Prefix]) -> None:
    made, root, prefix = copied
    shutil.rmtree(prefix.path)
    seen = pypi.inspect(prefix, root, progress=Silent())
    assert isinstance(seen, Unavailable)
    assert seen.unavailable == "no environment at .nomic-scaffold/envs/pypi"
    assert [r.status for r in check_pypi_environment(made, seen)] == [Status.UNKNOWN]


def test_a_new_lock_replaces_the_environment(index: Served, root: Path, tmp_path: Path) -> None:
    install(lock(root), root)
    publish(index.folder, make_wheel(tmp_path / "made", "cup", "2.0"))
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    made = lock(root, upgrade="all")
    prefix = install(made, root)
    assert {p.name: p.version for p in look(prefix, root).packages} == {"tea": "1.0", "cup": "2.0"}
    assert left_behind(root) == ["pypi"]


def test_other_bytes_from_the_index_are_refused(index: Served, root: Path) -> None:
    made = lock(root)
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    index.faults["/files/tea-1.0-py3-none-any.whl"] = Fault(flip_at=60)
    publish(index.folder, make_wheel(index.folder.parent / "evil", "tea", "1.0", {"tea/leaves.py": "LEAVES = 8\n"}))
    with pytest.raises(HashMismatchError) as raised:
        install(made, root)
    assert raised.value.exit_code == ExitCode.HASH_MISMATCH
    assert "tea" in raised.value.message
    assert find_prefix(root) is None
    assert left_behind(root) == []


def test_a_failed_renewal_leaves_the_old_environment(index: Served, root: Path, tmp_path: Path) -> None:
    old = install(lock(root), root)
    publish(index.folder, make_wheel(tmp_path / "made", "cup", "2.0"))
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    made = lock(root, upgrade="all")
    index.faults["/files/cup-2.0-py3-none-any.whl"] = Fault(status=404)
    with pytest.raises(UnavailableError):
        install(made, root)
    assert look(old, root).findings == ()
    assert find_prefix(root) == old


@pytest.mark.parametrize(
    ("fault", "word"),
    [(Fault(status=500), "500"), (Fault(status=401), "login"), (Fault(reset_at=0), "")],
    ids=["500", "401", "reset"],
)
def test_an_index_that_fails_is_said_without_its_password(
    index: Served, root: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, word: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//ann:hunter2@") + "/simple")
    index.faults["*"] = fault
    with pytest.raises(ScaffoldError) as raised:
        lock(root)
    told = f"{raised.value.message} {raised.value.hint}"
    assert raised.value.exit_code in (ExitCode.UNAVAILABLE, ExitCode.NO_SOLUTION)
    assert word in told
    assert "hunter2" not in told


def test_a_password_reaches_the_index_and_no_file(index: Served, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//ann:hunter2@") + "/simple")
    made = lock(root)
    install(made, root)
    assert any("Authorization" in request.headers for request in index.requests)
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"hunter2" not in path.read_bytes(), path


def test_no_index_at_all_is_unavailable(index: Served, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lock(root)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    with pytest.raises(UnavailableError):
        install(made, root)
    assert left_behind(root) == []


def test_offline_takes_the_cache_and_else_says_what_to_do(index: Served, root: Path) -> None:
    made = lock(root)
    install(made, root)
    asked = len(index.requests)
    install(made, root, fresh=True, offline=True)
    assert len(index.requests) == asked
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    with pytest.raises(UnavailableError) as raised:
        install(made, root, fresh=True, offline=True)
    assert "locks/wheels" in (raised.value.hint or "")


def test_a_folder_of_wheels_is_enough(index: Served, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lock(root)
    shutil.copytree(index.folder / "files", root / "locks" / "wheels")
    shutil.rmtree(os.environ["UV_CACHE_DIR"], ignore_errors=True)
    index.faults["*"] = Fault(status=500)
    prefix = install(made, root, offline=True, wheels=root / "locks" / "wheels")
    assert look(prefix, root).findings == ()


KILLED = """
import sys
from pathlib import Path
from nomic_scaffold.adapters import pypi
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.progress import Silent
root = Path(sys.argv[1])
made = pylock.parse((root / "locks" / "pylock.toml").read_text(encoding="utf-8"))
pypi.install(made, root / ".nomic-scaffold" / "envs" / "pypi", offline=False, progress=Silent())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_install_is_never_taken_for_whole(index: Served, root: Path) -> None:
    made = lock(root)
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    index.faults["/files/tea-1.0-py3-none-any.whl"] = Fault(delay=3)
    child = subprocess.Popen([sys.executable, "-c", KILLED, root], stderr=subprocess.DEVNULL, start_new_session=True)
    envs, end = root / ".nomic-scaffold" / "envs", time.monotonic() + 60
    while not list(envs.glob(".pypi-*/pyvenv.cfg")) and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert left_behind(root) != []
    assert find_prefix(root) is None
    index.faults.clear()
    prefix = install(made, root)
    assert look(prefix, root).findings == ()
    assert left_behind(root) == ["pypi"]


def test_two_installs_at_once_make_one_environment(index: Served, root: Path) -> None:
    made = lock(root)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: install(made, root), range(2))
    assert first == second
    assert look(first, root).findings == ()
    assert left_behind(root) == ["pypi"]


def test_without_a_fitting_python_the_lock_says_why(index: Served, root: Path) -> None:
    made = lock(root)
    future = PypiLock(requires_python=">=3.99", inputs_digest=None, packages=made.packages)
    with pytest.raises(ToolMissingError, match=r"not >=3\.99") as raised:
        install(future, root)
    assert raised.value.exit_code == ExitCode.TOOL_MISSING


def test_another_python_is_taken_when_asked(index: Served, root: Path) -> None:
    prefix = install(lock(root), root, python=Path(sys.base_prefix) / "bin" / "python3")
    assert look(prefix, root).python == ".".join(map(str, sys.version_info[:3]))
