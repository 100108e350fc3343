"""Conda environments made from a lock, mended, and left alone, against a tiny channel served over HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters.conda.inspect import describe
from nomic_scaffold.adapters.conda.slim import slim
from nomic_scaffold.checks.environment_conda import check_conda_environment
from nomic_scaffold.errors import InputError, UnavailableError, UsageError
from nomic_scaffold.formats import conda_package
from nomic_scaffold.models import witness
from nomic_scaffold.models.lock import LockedPackage
from tests.support.channel import PLACEHOLDER, interpreter_channel, locked, mirrored, tiny_channel, write
from tests.support.conda_environment import TINY, Bench, needs_linux, rewrite
from tests.support.conda_package import HERE, Package
from tests.support.server import Served, serve
from tests.support.wheels import PYTHON

pytestmark = needs_linux
SITE = f"lib/python{PYTHON}/site-packages"
TAG = str(sys.implementation.cache_tag)


@pytest.fixture(scope="module")
def channel() -> Iterator[Served]:
    with serve(tiny_channel()) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture(scope="module")
def packages(channel: Served) -> tuple[LockedPackage, ...]:
    return locked(tiny_channel(), *TINY)


@pytest.fixture(scope="module")
def filled(packages: tuple[LockedPackage, ...], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A cache with everything in it; not to be touched."""
    bench = Bench(tmp_path_factory.mktemp("filled"), packages)
    bench.install()
    return bench


@pytest.fixture
def bench(filled: Bench, tmp_path: Path) -> Bench:
    """An installed environment with a cache of its own."""
    copy = filled.copied(tmp_path)
    copy.install(offline=True)
    return copy


def test_the_environment_is_the_lock_to_the_byte(
    channel: Served, packages: tuple[LockedPackage, ...], tmp_path: Path
) -> None:
    bench = Bench(tmp_path, packages)
    bench.install()
    assert bench.troubles(deep=False) == {}
    assert bench.troubles(deep=True) == {}
    evidence = bench.look(deep=True)
    assert {package.name for package in evidence.packages} == {package.name for package in packages}
    assert evidence.bytes_read > 2_000_000
    asked = [request.path for request in channel.requests if request.path.endswith((".conda", ".bz2"))]
    assert len(asked) == len(set(asked)) == len(packages)


def test_records_keep_the_locks_addresses(filled: Bench) -> None:
    for package in filled.look(deep=False).packages:
        assert package.channel == "https://conda.anaconda.org/conda-forge"
        assert package.sha256


def test_programs_run(filled: Bench) -> None:
    done = subprocess.run([filled.prefix / "bin" / "tiny-script"], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_nothing_to_do_asks_no_channel_and_changes_nothing(filled: Bench, channel: Served) -> None:
    before = {path: path.lstat().st_mtime_ns for path in filled.prefix.rglob("*") if path.name != witness.NAME}
    asked = len(channel.requests)
    assert filled.install() == [f"the environment is already as locked: {filled.prefix}"]
    assert len(channel.requests) == asked
    assert {path: path.lstat().st_mtime_ns for path in filled.prefix.rglob("*") if path.name != witness.NAME} == before


def test_a_filled_cache_is_enough_without_a_network(filled: Bench, tmp_path: Path) -> None:
    bench = filled.copied(tmp_path)
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_an_empty_cache_is_not_and_the_message_says_so(packages: tuple[LockedPackage, ...], tmp_path: Path) -> None:
    bench = Bench(tmp_path, packages)
    with pytest.raises(UnavailableError, match=r"--offline, and 6 of 6 packages are not in the cache"):
        bench.install(offline=True)
    assert not (bench.prefix / "conda-meta").exists()


def record(prefix: Path, **changes: str) -> None:
    path = prefix / "conda-meta/tiny-data-2.0-0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


BREAKS = {
    "a changed byte": lambda p: rewrite(p / SITE / "tiny_noarch/__init__.py", lambda d: d.replace(b"2", b"3")),
    "a longer file": lambda p: rewrite(p / "share/tiny/3/003.bin", lambda d: d + b"x"),
    "a changed file with the prefix in it": lambda p: rewrite(p / "etc/tiny/tiny.conf", lambda d: d.upper()),
    "a changed program": lambda p: rewrite(p / "bin/tiny", lambda d: d.replace(b"main", b"evil")),
    "a missing file": lambda p: (p / "share/tiny/3/003.bin").unlink(),
    "a missing folder": lambda p: shutil.rmtree(p / "share/tiny/3"),
    "a link elsewhere": lambda p: ((p / "lib/libtiny.so").unlink(), (p / "lib/libtiny.so").symlink_to("/etc/passwd")),
    "a file for a link": lambda p: ((p / "lib/libtiny.so").unlink(), (p / "lib/libtiny.so").write_bytes(b"x")),
    "a link for a file": lambda p: (
        (p / "share/tiny/run.sh").unlink(),
        (p / "share/tiny/run.sh").symlink_to("/bin/true"),
    ),
    "a lost permission": lambda p: (p / "bin/tiny-config").chmod(0o644),
    "a foreign file": lambda p: (p / SITE / "evil.pth").write_text("import os"),
    "a foreign folder": lambda p: (
        (p / "share/mine/too").mkdir(parents=True),
        (p / "share/mine/too/x").write_text("x"),
    ),
    "what an interrupted removal left": lambda p: (
        (p / SITE / "gone-1.0.dist-info/licenses").mkdir(parents=True),
        (p / "conda-meta/nomic-scaffold.files").unlink(),
    ),
    "a missing record": lambda p: (p / "conda-meta/tiny-data-2.0-0.json").unlink(),
    "a torn record": lambda p: (p / "conda-meta/tiny-data-2.0-0.json").write_text('{"name": "tiny-da'),
    "a missing note": lambda p: (p / "conda-meta/nomic-scaffold.files").unlink(),
    "a torn note": lambda p: rewrite(p / "conda-meta/nomic-scaffold.files", lambda d: d[:-9]),
    "a note of nothing": lambda p: rewrite(p / "conda-meta/nomic-scaffold.files", lambda d: b""),
    "a missing witness": lambda p: (p / witness.NAME).unlink(),
    "a record of another build": lambda p: record(p, build="1"),
    "a record of another archive": lambda p: record(p, sha256="0" * 64),
    "a record of another channel": lambda p: record(
        p, url="https://conda.anaconda.org/other/noarch/tiny-data-2.0-0.conda"
    ),
    "everything but the records": lambda p: [shutil.rmtree(p / name) for name in ("bin", "lib", "share", "etc")],
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_second_run_mends(bench: Bench, what: str) -> None:
    BREAKS[what](bench.prefix)
    assert bench.install(offline=True) != [f"the environment is already as locked: {bench.prefix}"]
    assert bench.troubles(deep=True) == {}
    assert not (bench.prefix / SITE / "gone-1.0.dist-info").exists()
    assert bench.install(offline=True) == [f"the environment is already as locked: {bench.prefix}"]


def test_what_is_removed_is_named(bench: Bench) -> None:
    (bench.prefix / SITE / "evil.pth").write_text("import os")
    assert f"removing files that belong to no locked package: {SITE}/evil.pth" in bench.install(offline=True)


def test_what_python_compiles_itself_is_counted_and_kept(bench: Bench) -> None:
    compiled = bench.prefix / SITE / "tiny_noarch/__pycache__/__init__.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"x")
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    # One more: the source of the packaged _sysconfigdata holds the prefix, so Python compiles that one anew.
    assert bench.look(deep=True).compiled == bench.look(deep=False).compiled == 2
    (bench.prefix / "share/foreign.txt").write_text("x")
    bench.install(offline=True)
    assert compiled.read_bytes() == b"x"


@pytest.mark.parametrize("deep", [True, False], ids=["deep", "fast"])
def test_a_compiled_module_that_a_package_brings_is_a_file_like_any_other(bench: Bench, deep: bool) -> None:
    name = f"{SITE}/__pycache__/tiny_ext.{TAG}.pyc"
    rewrite(bench.prefix / name, lambda data: data[:-1] + b"!")
    assert bench.findings(deep=deep) == {name: "changed"}
    assert "Python compiles a module anew when" in bench.finding(name, deep=deep).detail
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}
    (bench.prefix / name).unlink()
    assert bench.findings(deep=deep) == {name: "missing"}


def test_a_compiled_module_whose_source_holds_the_prefix_may_be_compiled_anew(bench: Bench) -> None:
    compiled = bench.prefix / f"lib/python{PYTHON}/__pycache__/_sysconfigdata.{TAG}.pyc"
    rewrite(compiled, lambda data: data + b"of here")
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    compiled.unlink()
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}


def test_what_is_beside_compiled_modules_and_is_none_is_foreign(bench: Bench) -> None:
    name = f"{SITE}/__pycache__/evil.so"
    (bench.prefix / name).write_bytes(b"x")
    assert bench.findings(deep=True) == bench.findings(deep=False) == {name: "foreign"}


def test_an_edit_in_place_reaches_the_cache_and_the_next_install_mends_both(bench: Bench) -> None:
    """Files of a prefix may be hard links into the cache: an edit in place changes the cached package too."""
    victim = bench.prefix / "share/tiny/3/003.bin"
    with victim.open("r+b") as file:
        file.write(b"!")
    other = bench.root / "other"
    bench.install(offline=True, prefix=other)
    assert (other / "share/tiny/3/003.bin").read_bytes() != victim.read_bytes()
    assert bench.findings(deep=True) == {"share/tiny/3/003.bin": "changed"}
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_a_note_and_an_unpacked_package_forged_together_are_not_installed(bench: Bench) -> None:
    """A note of what an archive holds lies in the cache, as easy to change as the files that it speaks of."""
    shutil.rmtree(bench.prefix)
    name = "share/tiny/run.sh"
    rewrite(bench.cached("tiny-data") / name, lambda data: data.replace(b"exit 0", b"exit 1"))
    place = next((bench.cache / "archives").glob("*/tiny-data-*")).parent / "manifest"
    noted = conda_package.loads(place.read_bytes())
    assert noted is not None
    digest = hashlib.sha256((bench.cached("tiny-data") / name).read_bytes()).hexdigest()
    files = (replace(file, sha256=digest) if file.path == name else file for file in noted.files)
    place.write_bytes(conda_package.dumps(replace(noted, files=tuple(files))))
    bench.install(offline=True)
    assert b"exit 0" in (bench.prefix / name).read_bytes()
    assert bench.troubles(deep=True) == {}


def test_a_forged_list_of_an_unpacked_package_is_not_followed(bench: Bench) -> None:
    """rattler links what the unpacked list says, wherever it leads."""
    shutil.rmtree(bench.prefix)
    rewrite(
        bench.cached("tiny-data") / "info/paths.json",
        lambda data: data.replace(b'"share/tiny/run.sh"', b'"../evil.sh"'),
    )
    bench.install(offline=True)
    assert not (bench.root / "evil.sh").exists()
    assert bench.troubles(deep=True) == {}


def test_an_edit_in_the_cache_while_it_is_linked_from_is_seen(bench: Bench) -> None:
    """The file in the prefix is the cache's own, whose bytes were right when they were read: its time tells."""
    shutil.rmtree(bench.prefix)
    victim = bench.prefix / "share/tiny/3/003.bin"

    def meanwhile(_prefix: object, _packages: object, _wheels: object) -> None:
        with victim.open("r+b") as file:
            file.write(b"!")

    wheel = replace(bench.packages[0], name="extra", manager="pip")
    with pytest.raises(UnavailableError, match=r"003\.bin \(of tiny-data\) is not what its package gives"):
        bench.install((*bench.packages, wheel), offline=True, pip=meanwhile)
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_a_damaged_archive_is_fetched_again(bench: Bench, channel: Served) -> None:
    shutil.rmtree(bench.prefix)
    archive = next((bench.cache / "archives").glob("*/libtiny-*.conda"))
    rewrite(archive, lambda d: d[:100] + b"?" + d[101:])
    (bench.cached("libtiny") / "lib/libtiny.so.1.2.3").write_bytes(b"")
    asked = len(channel.requests)
    bench.install()
    assert [request.path for request in channel.requests[asked:]] == [f"/{HERE}/libtiny-1.2.3-h1_0.conda"]
    assert bench.troubles(deep=True) == {}


def test_copies_share_nothing_with_the_cache(filled: Bench, tmp_path: Path) -> None:
    bench = filled.copied(tmp_path)
    bench.install(offline=True, copy=True)
    assert all(p.stat().st_nlink == 1 for p in bench.prefix.rglob("*") if p.is_file() and not p.is_symlink())
    assert bench.troubles(deep=True) == {}


def test_another_lock_moves_the_environment(bench: Bench) -> None:
    older = locked(tiny_channel(), "tiny-noarch ==1.0", "tiny-data ==1.0")
    bench.packages = older
    assert set(bench.troubles(deep=False)) >= {"ENV003", "ENV004"}
    bench.install()
    assert bench.troubles(deep=True) == {}
    assert not (bench.prefix / "lib/libtiny.so").exists()
    assert not (bench.prefix / "share/old").exists()


def test_fresh_starts_from_nothing(bench: Bench) -> None:
    (bench.prefix / "conda-meta/left.txt").write_text("x")
    bench.install(offline=True, fresh=True)
    assert not (bench.prefix / "conda-meta/left.txt").exists()
    assert bench.troubles(deep=True) == {}


def test_two_installs_at_once_take_turns(filled: Bench, tmp_path: Path) -> None:
    bench = filled.copied(tmp_path)
    said: list[list[str]] = []
    threads = [threading.Thread(target=lambda: said.append(bench.install(offline=True))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 2
    assert any("already as locked" in words[-1] for words in said if words)
    assert bench.troubles(deep=True) == {}


def test_packages_without_a_hash_are_refused(packages: tuple[LockedPackage, ...], tmp_path: Path) -> None:
    bare = (replace(packages[0], sha256=None), *packages[1:])
    with pytest.raises(InputError, match=f"no sha256 for {packages[0].name}"):
        Bench(tmp_path, bare).install()
    assert not (tmp_path / "env").exists()


def test_a_lock_without_packages_never_makes_an_empty_environment(bench: Bench) -> None:
    with pytest.raises(InputError, match=f"no package for {HERE}"):
        bench.install(())
    assert bench.troubles(deep=True) == {}


def test_a_folder_that_is_no_environment_is_left_alone(filled: Bench, tmp_path: Path) -> None:
    bench = filled.copied(tmp_path)
    bench.prefix.mkdir()
    (bench.prefix / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty and no conda environment"):
        bench.install(offline=True)
    assert [path.name for path in bench.prefix.iterdir()] == ["thesis.tex"]


def of_another_tool(bench: Bench) -> Path:
    """Make the environment look as if another tool had made it; gives a file that somebody put there."""
    for name in (witness.NAME, "conda-meta/nomic-scaffold.files"):
        (bench.prefix / name).unlink()
    notes = bench.prefix / "share/notes.txt"
    notes.write_text("mine")
    return notes


def test_in_an_environment_of_another_tool_foreign_files_stay(bench: Bench) -> None:
    notes = of_another_tool(bench)
    assert bench.install(offline=True) == [
        "another tool made this environment, so these stay, of no package: share/notes.txt"
    ]
    assert bench.findings(deep=True) == {"share/notes.txt": "foreign"}
    assert bench.install(offline=True) == [f"the environment is already as locked: {bench.prefix}"]
    (bench.prefix / "share/tiny/3/003.bin").unlink()
    bench.install(offline=True)
    assert notes.read_text() == "mine"
    assert bench.findings(deep=True) == {"share/notes.txt": "foreign"}


def test_an_interrupted_run_does_not_make_the_environment_of_another_tool_its_own(bench: Bench) -> None:
    notes = of_another_tool(bench)

    def interrupt(_prefix: object, _packages: object, _wheels: object) -> None:
        raise KeyboardInterrupt

    wheel = replace(bench.packages[0], name="extra", manager="pip")
    with pytest.raises(KeyboardInterrupt):
        bench.install((*bench.packages, wheel), offline=True, pip=interrupt)
    assert (bench.prefix / "conda-meta/nomic-scaffold.busy").exists()
    bench.install(offline=True)
    assert notes.read_text() == "mine"


def test_fresh_makes_the_environment_of_another_tool_anew_and_its_own(bench: Bench) -> None:
    notes = of_another_tool(bench)
    bench.install(offline=True, fresh=True)
    assert not notes.exists()
    notes.write_text("again")
    bench.install(offline=True)
    assert not notes.exists()


def test_a_changed_byte_in_an_environment_of_another_tool_is_mended(bench: Bench) -> None:
    """There is no note of this tool's to see it by: it shows when all has been linked, and is linked anew then."""
    of_another_tool(bench).unlink()
    rewrite(bench.prefix / "share/tiny/run.sh", lambda data: data.replace(b"0", b"1"))
    rewrite(bench.prefix / "etc/tiny/tiny.conf", lambda data: data.replace(b"lib64", b"lib63"))
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_what_only_a_deep_look_sees_a_deep_install_mends(bench: Bench) -> None:
    path = bench.prefix / "share/tiny/run.sh"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"#?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    seen = check_conda_environment(bench.packages, bench.look(deep=True))
    assert {result.hint for result in seen if result.hint} == {"nomic-scaffold install --deep"}
    assert bench.install(offline=True) == [f"the environment is already as locked: {bench.prefix}"]
    assert bench.install(offline=True, deep=True) == []
    assert bench.troubles(deep=True) == {}
    assert bench.install(offline=True, deep=True) == [f"the environment is already as locked: {bench.prefix}"]


def test_a_deep_install_fetches_the_archives_that_it_needs(bench: Bench, channel: Served) -> None:
    shutil.rmtree(bench.cache)
    assert bench.install(deep=True) == [f"the environment is already as locked: {bench.prefix}"]


def test_what_an_image_leaves_out_stays_out_when_something_else_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, other = Package("headers", "1", "0"), Package("other", "1", "0", depends=["headers"])
    package.add("include/a.h", b"int a;\n")
    package.add("share/x.txt", b"x\n")
    other.add("share/y.txt", b"y\n")
    made = write(tmp_path / "channel", [package, other])
    bench = Bench(tmp_path / "bench", locked(made, "other"))
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench.install()
    slim(bench.prefix)
    rewrite(bench.prefix / "share/y.txt", lambda data: data.upper())
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}
    assert not (bench.prefix / "include/a.h").exists()
    assert bench.look(deep=True).left_out_files == bench.look(deep=False).left_out_files == 1


def test_a_real_python_runs_and_leaves_its_packaged_compiled_modules_alone(tmp_path: Path) -> None:
    made = interpreter_channel()
    bench = Bench(tmp_path, locked(made, "python"))
    with serve(made) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench.install()
    code = "import argparse, asyncio, json, sysconfig, unittest, xml.dom; print(sysconfig.get_config_vars()['prefix'])"
    done = subprocess.run([bench.prefix / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(bench.prefix)
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    assert bench.look(deep=True).compiled >= 1, "at least the settings, whose source holds the prefix"


@pytest.mark.parametrize("name", ["with space", "größe", "long" * 17])
def test_prefixes_that_installers_trip_over(filled: Bench, tmp_path: Path, name: str) -> None:
    """Blanks and long paths don't fit the first line of a script; accents are written as UTF-8."""
    bench = filled.copied(tmp_path)
    prefix = tmp_path / name / "env"
    assert name != "long" * 17 or 127 < len(str(prefix)) < len(PLACEHOLDER)
    bench.install(offline=True, prefix=prefix)
    assert bench.look(deep=True, prefix=prefix).findings == ()
    done = subprocess.run([prefix / "bin" / "tiny-script"], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_a_path_that_packages_have_no_room_for_is_named(filled: Bench, tmp_path: Path) -> None:
    bench = filled.copied(tmp_path)
    with pytest.raises(UsageError, match=r"has \d\d\d characters, and packages have no room for that"):
        bench.install(offline=True, prefix=tmp_path / ("long" * 40) / "env")


def test_an_environment_describes_itself(filled: Bench, tmp_path: Path) -> None:
    found = describe(filled.prefix)
    assert found is not None
    assert (found.provider, found.accelerator) == ("conda", "cpu")
    assert describe(tmp_path) is None
