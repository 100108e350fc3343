"""The pip section of a lock in a conda environment, with the real uv and an index on this machine."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters.pypi.into_conda import install_into
from nomic_scaffold.adapters.weights import bring_wheels
from nomic_scaffold.adapters.weights.http import Patience
from nomic_scaffold.errors import HashMismatchError, UnavailableError
from nomic_scaffold.models import witness
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.report import Status
from nomic_scaffold.models.variant import Platform
from tests.support.channel import interpreter_channel, locked, mirrored
from tests.support.conda_environment import Bench, needs_linux
from tests.support.conda_package import HERE
from tests.support.server import Fault, Served, serve
from tests.support.simple_index import configured_index
from tests.support.wheels import PYTHON

pytestmark = needs_linux
SITE = f"lib/python{PYTHON}/site-packages"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Served]:
    """An index with `tea` (which needs `cup`) and `cup`; pip is configured for it."""
    with configured_index(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A cache that holds a Python that runs."""
    bench = Bench(tmp_path_factory.mktemp("python"), locked(interpreter_channel(), "python", "python_abi"))
    with serve(interpreter_channel()) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench.install()
    return bench


@pytest.fixture
def bench(cache: Bench, tmp_path: Path, index: Served) -> Bench:
    conda = Bench(tmp_path / "bench", cache.packages)
    conda.root.mkdir()
    (conda.root / "pkgs").symlink_to(cache.cache)
    shutil.rmtree(cache.cache / "wheels", ignore_errors=True)
    conda.packages = (*cache.packages, wheel(index, "cup"), wheel(index, "tea"))
    return conda


def wheel(index: Served, name: str) -> LockedPackage:
    file = index.folder / "files" / f"{name}-1.0-py3-none-any.whl"
    return LockedPackage(
        name=name,
        version="1.0",
        manager="pip",
        platform=Platform(HERE),
        url=f"https://example.org/{file.name}",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        md5=None,
    )


@dataclass
class Pip:
    """uv, and the fetching of wheels, as `install` uses them; remembers what was asked."""

    asked: list[list[str]] = field(default_factory=list)
    fetched: list[list[str]] = field(default_factory=list)

    def put(self, prefix: Prefix, packages: Sequence[LockedPackage], wheels: Mapping[str, Path]) -> None:
        self.asked.append([package.name for package in packages])
        install_into(prefix, packages, wheels=wheels, offline=False, progress=Silent())

    def bring(self, packages: Sequence[LockedPackage], store: Path) -> None:
        self.fetched.append([package.name for package in packages])
        bring_wheels(packages, store, progress=Silent(), patience=Patience(attempts=1))

    def install(self, bench: Bench) -> None:
        bench.install(offline=True, pip=self.put, bring=self.bring)


@pytest.fixture
def pip() -> Pip:
    return Pip()


def test_wheels_are_put_in_by_hash_and_only_the_locked_ones(bench: Bench, pip: Pip) -> None:
    pip.install(bench)
    assert pip.asked == [["cup", "tea"]]
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    evidence = bench.look(deep=True)
    assert {p.name: p.sha256 for p in evidence.packages if p.manager == "pip"} == {
        p.name: p.sha256 for p in bench.packages if p.manager == "pip"
    }
    done = subprocess.run([bench.prefix / "bin/brew"], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"
    pip.install(bench)
    assert len(pip.asked) == 1, "nothing to do the second time"
    assert pip.fetched == [["cup", "tea"]]


def test_only_what_is_broken_is_put_in_again(bench: Bench, pip: Pip) -> None:
    pip.install(bench)
    (bench.prefix / SITE / "tea/leaves.py").write_text("LEAVES = 8\n")
    assert bench.troubles(deep=False)["ENV006"] is Status.FAIL
    pip.install(bench)
    assert pip.asked[1:] == [["tea"]]
    assert bench.troubles(deep=True) == {}


def forge(prefix: Path, module: str, text: str) -> None:
    """Change a module and all that the environment itself says of it: RECORD, and this tool's note."""
    (prefix / SITE / module).write_text(text)
    record = next((prefix / SITE).glob(f"{module.partition('/')[0]}-*.dist-info")) / "RECORD"
    before = hashlib.sha256(record.read_bytes()).hexdigest()
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    rows = [row for row in record.read_text().splitlines() if not row.startswith(f"{module},")]
    record.write_text("\n".join([f"{module},sha256={digest},{len(text)}", *rows]) + "\n")
    noted = prefix / witness.NAME
    after = hashlib.sha256(record.read_bytes()).hexdigest()
    noted.write_text(noted.read_text().replace(before, after))


def test_a_module_forged_with_its_record_and_the_note_is_found_and_mended(bench: Bench, pip: Pip) -> None:
    pip.install(bench)
    forge(bench.prefix, "tea/leaves.py", "LEAVES = 8\n\n\ndef brew() -> None:\n    print(LEAVES)\n")
    assert bench.findings(deep=True) == {f"{SITE}/tea/leaves.py": "changed"}
    pip.install(bench)
    assert pip.asked[1:] == [["tea"]]
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    assert "LEAVES = 7" in (bench.prefix / SITE / "tea/leaves.py").read_text()


def test_a_file_that_only_the_record_knows_is_nobodys(bench: Bench, pip: Pip) -> None:
    pip.install(bench)
    forge(bench.prefix, "tea/evil.py", "import os\n")
    assert bench.findings(deep=True) == {f"{SITE}/tea/evil.py": "foreign"}
    pip.install(bench)
    assert bench.troubles(deep=True) == {}


def test_without_the_wheel_nobody_vouches_and_with_it_all_is_proven(bench: Bench, pip: Pip) -> None:
    """As in an environment that conda-lock's pip made, or on a machine whose cache was emptied."""
    pip.install(bench)
    for name in (witness.NAME, "conda-meta/nomic-scaffold.files"):
        (bench.prefix / name).unlink()
    shutil.rmtree(bench.cache / "wheels")
    assert bench.troubles(deep=True) == {"ENV005": Status.UNKNOWN, "ENV012": Status.UNKNOWN}
    assert bench.look(deep=True, bring=pip.bring).findings == ()
    assert bench.troubles(deep=True) == {}, "the wheels are kept"
    next((bench.cache / "wheels").glob("*/tea-*")).write_bytes(b"rotten")
    assert bench.troubles(deep=True) == {"ENV005": Status.UNKNOWN, "ENV012": Status.UNKNOWN}


def test_two_wheels_with_one_path(bench: Bench, pip: Pip, index: Served) -> None:
    """As packages do that ship their tests at the top: one of the two contents is there."""
    bench.packages = (*bench.packages, wheel(index, "saucer"))
    pip.install(bench)
    assert bench.troubles(deep=True) == {}
    (bench.prefix / SITE / "tea/notes.txt").write_text("white\n")
    assert bench.findings(deep=True) == {f"{SITE}/tea/notes.txt": "changed"}
    pip.install(bench)
    assert bench.troubles(deep=True) == {}


PROGRAM = "bin/brew"


def other_program(prefix: Path, *, recorded: bool) -> None:
    """Write another program than pip and uv do; `recorded` as its installer would."""
    path = prefix / PROGRAM
    path.write_text(path.read_text().replace("import sys", "import sys as sys"))
    if recorded:
        record = next((prefix / SITE).glob("tea-*.dist-info")) / "RECORD"
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        rows = [row for row in record.read_text().splitlines() if "bin/brew" not in row]
        record.write_text("\n".join([*rows, f"../../../bin/brew,sha256={digest},{path.stat().st_size}"]) + "\n")


@pytest.mark.parametrize(("recorded", "problem"), [(False, "changed"), (True, "unwitnessed")])
def test_a_program_that_no_known_installer_generates(bench: Bench, pip: Pip, recorded: bool, problem: str) -> None:
    pip.install(bench)
    other_program(bench.prefix, recorded=recorded)
    assert bench.findings(deep=True) == {PROGRAM: problem}


def test_what_pip_itself_puts_in_is_proven(bench: Bench, pip: Pip) -> None:
    """As `conda-lock install` has it done."""
    pip.install(bench)
    wheels = [str(path) for path in (bench.cache / "wheels").glob("*/*.whl")]
    command = [sys.executable, "-m", "pip", "--python", str(bench.prefix / "bin/python"), "install", "--no-deps"]
    subprocess.run([*command, "--force-reinstall", "--no-index", *wheels], check=True, capture_output=True)
    assert (bench.prefix / SITE / "tea-1.0.dist-info/direct_url.json").exists()
    assert bench.findings(deep=True) == {}


@pytest.mark.parametrize("name", ["my env", "long-" * 20 + "env"], ids=["blank", "long"])
def test_programs_in_a_place_that_no_first_line_has_room_for(bench: Bench, pip: Pip, name: str) -> None:
    prefix = bench.root / name
    bench.install(offline=True, pip=pip.put, bring=pip.bring, prefix=prefix)
    assert (prefix / PROGRAM).read_text().startswith("#!/bin/sh\n")
    assert bench.look(deep=True, prefix=prefix).findings == ()


@pytest.mark.parametrize("mode", [0o4755, 0o777], ids=["runs as its owner", "anybody's"])
def test_permissions_of_what_pip_put_in_are_looked_at(bench: Bench, pip: Pip, mode: int) -> None:
    pip.install(bench)
    (bench.prefix / SITE / "tea/leaves.py").chmod(mode)
    assert bench.findings(deep=True) == bench.findings(deep=False) == {f"{SITE}/tea/leaves.py": "mode"}
    (bench.prefix / SITE / "tea/leaves.py").chmod(0o644)
    (bench.prefix / PROGRAM).chmod(0o644)
    assert bench.findings(deep=True) == {PROGRAM: "mode"}


def test_dependencies_that_the_lock_lacks_are_not_pulled_in(bench: Bench, pip: Pip) -> None:
    bench.packages = tuple(p for p in bench.packages if p.name != "cup")
    pip.install(bench)
    assert not (bench.prefix / SITE / "cup").exists()
    assert bench.troubles(deep=True) == {}


def test_other_bytes_than_the_locks_are_refused(bench: Bench, pip: Pip) -> None:
    bench.packages = tuple(replace(p, sha256="0" * 64) if p.name == "tea" else p for p in bench.packages)
    with pytest.raises((HashMismatchError, UnavailableError)):
        pip.install(bench)
    assert not (bench.prefix / SITE / "tea").exists()
    assert not (bench.prefix / witness.NAME).exists()


def test_an_index_that_is_gone_leaves_it_unfinished_and_the_next_run_goes_on(
    bench: Bench, pip: Pip, index: Served
) -> None:
    index.faults["*"] = Fault(status=503)
    with pytest.raises(UnavailableError):
        pip.install(bench)
    assert not (bench.prefix / witness.NAME).exists()
    index.faults.clear()
    pip.install(bench)
    assert bench.troubles(deep=True) == {}


def test_wheels_that_only_uv_can_get_are_put_in_and_not_vouched_for(bench: Bench, pip: Pip) -> None:
    """uv may know a login that we don't: the install goes on, and the proof says what it lacks."""
    bench.install(offline=True, pip=pip.put)
    assert bench.troubles(deep=False) == {}
    assert bench.troubles(deep=True) == {"ENV012": Status.UNKNOWN}
    forge(bench.prefix, "tea/leaves.py", "LEAVES = 8\n")
    bench.install(offline=True, pip=pip.put)
    assert pip.asked == [["cup", "tea"], ["cup", "tea"]], "what nothing vouches for is put in anew"
    assert "LEAVES = 7" in (bench.prefix / SITE / "tea/leaves.py").read_text()


def test_what_pip_was_told_by_hand_goes_away(bench: Bench, pip: Pip, index: Served) -> None:
    bench.packages = tuple(p for p in bench.packages if p.name != "tea")
    pip.install(bench)
    extra = Prefix(path=bench.prefix, provider="conda", accelerator="cpu", python=bench.prefix / "bin/python")  # type: ignore[arg-type]
    install_into(extra, [wheel(index, "tea")], wheels={}, offline=False, progress=Silent())
    assert bench.troubles(deep=True) == {"ENV003": Status.FAIL}
    pip.install(bench)
    assert bench.troubles(deep=True) == {}
    assert not (bench.prefix / PROGRAM).exists()
