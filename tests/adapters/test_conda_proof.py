"""The proof that an environment still is the lock: nothing that changed goes unseen, whoever made the environment."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nomic_scaffold.adapters.conda import signatures
from nomic_scaffold.adapters.conda.records import read_records
from nomic_scaffold.errors import InputError
from nomic_scaffold.models import witness
from nomic_scaffold.models.evidence import EnvironmentEvidence, Unavailable
from nomic_scaffold.models.lock import LockedPackage
from nomic_scaffold.models.report import Status
from tests.support.channel import locked, mirrored, tiny_channel, write
from tests.support.conda_environment import TINY, Bench, needs_linux, rewrite
from tests.support.conda_package import PLACEHOLDER, Package
from tests.support.server import Served, serve
from tests.support.wheels import PYTHON

pytestmark = needs_linux
SITE = f"lib/python{PYTHON}/site-packages"
NOTE = "conda-meta/nomic-scaffold.files"


@pytest.fixture(scope="module")
def channel() -> Iterator[Served]:
    with serve(tiny_channel()) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture(scope="module")
def filled(channel: Served, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("filled"), locked(tiny_channel(), *TINY))
    bench.install()
    return bench


@pytest.fixture
def bench(filled: Bench, tmp_path: Path) -> Bench:
    copy = filled.copied(tmp_path)
    copy.install(offline=True)
    return copy


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def keep_times(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file in place, and set its times back."""
    before = path.stat()
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.write(change(data))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("how", ["replaced", "in place"])
def test_one_byte_flipped_in_each_of_200_files_is_found(bench: Bench, how: str) -> None:
    dice = random.Random(7)
    files = sorted(
        path
        for path in bench.prefix.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_size and "conda-meta" not in path.parts
    )
    victims = dice.sample([path for path in files if path.name != witness.NAME and path.name != "CACHEDIR.TAG"], 200)
    for path in victims:
        at = dice.randrange(path.stat().st_size)
        if how == "replaced":
            rewrite(path, lambda data, at=at: flip(data, at))
        else:
            keep_times(path, lambda data, at=at: flip(data, at))
    expected = {path.relative_to(bench.prefix).as_posix(): "changed" for path in victims}
    assert bench.findings(deep=True) == expected
    if how == "replaced":
        assert bench.findings(deep=False) == expected


def test_a_record_changed_with_its_file_hides_nothing(bench: Bench) -> None:
    """conda's own records are as easy to change as the files: they are no witness."""
    path, name = bench.prefix / "share/tiny/3/003.bin", "share/tiny/3/003.bin"
    keep_times(path, lambda data: flip(data, 0))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = bench.prefix / "conda-meta/tiny-data-2.0-0.json"
    data = json.loads(record.read_text())
    entry = next(e for e in data["paths_data"]["paths"] if e["_path"] == name)
    entry["sha256"] = entry["sha256_in_prefix"] = digest
    record.write_text(json.dumps(data))
    note = signatures.read(bench.prefix)
    assert note is not None
    noted = signatures.signatures(note)
    noted[name] = noted[name]._replace(content=digest)
    records = [(record.path, record.package) for record in read_records(bench.prefix)[0]]
    signatures.write(bench.prefix, noted, lock_digest="0" * 64, records=records, pip=note.pip)
    assert bench.findings(deep=False) == {}, "forged well enough for a quick look"
    cached = bench.cached("tiny-data") / name
    assert cached.read_bytes() == path.read_bytes()
    listed = bench.cached("tiny-data") / "info/paths.json"
    paths = json.loads(listed.read_text())
    next(e for e in paths["paths"] if e["_path"] == name)["sha256"] = digest
    listed.write_text(json.dumps(paths))
    assert bench.findings(deep=True) == {name: "changed"}


def test_a_manifest_forged_in_the_cache_is_not_believed(bench: Bench) -> None:
    from nomic_scaffold.formats.conda_package import dumps, loads

    keep_times(bench.prefix / "share/tiny/run.sh", lambda data: data.replace(b"exit 0", b"exit 1"))
    place = next((bench.cache / "archives").glob("*/tiny-data-*")).parent / "manifest"
    manifest = loads(place.read_bytes())
    assert manifest is not None
    digest = hashlib.sha256((bench.prefix / "share/tiny/run.sh").read_bytes()).hexdigest()
    good = next(file.sha256 for file in manifest.files if file.path == "share/tiny/run.sh")
    body = dumps(manifest).partition(b"\n")[2].replace(str(good).encode(), digest.encode())
    place.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert bench.findings(deep=True) == {"share/tiny/run.sh": "changed"}


FORGED: dict[str, tuple[str, dict[str, Any], Callable[[Path], object]]] = {
    "a file as a link": ("share/tiny/run.sh", {"sha256": None, "link": "/bin/false"}, lambda p: _link(p, "/bin/false")),
    "a link that leads outside": ("share/tiny/latest", {"link": "/bin/false"}, lambda p: _link(p, "/bin/false")),
    "a link that climbs out": ("share/tiny/latest", {"link": "../../../x"}, lambda p: _link(p, "../../../x")),
    "a text as a binary": (
        "share/tiny/run.sh",
        {"placeholder": "0", "file_mode": "binary"},
        lambda p: rewrite(p, lambda data: data.replace(b"0", b"1")),
    ),
}


def _link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_in_a_manifest_and_the_prefix_is_found(bench: Bench, what: str) -> None:
    from nomic_scaffold.formats.conda_package import dumps, loads

    name, changes, cause = FORGED[what]
    place = next((bench.cache / "archives").glob("*/tiny-data-*")).parent / "manifest"
    manifest = loads(place.read_bytes())
    assert manifest is not None
    files = tuple(replace(file, **changes) if file.path == name else file for file in manifest.files)
    place.write_bytes(dumps(replace(manifest, files=files)))
    cause(bench.prefix / name)
    assert set(bench.findings(deep=True)) == {name}


def test_an_original_forged_in_the_cache_is_not_believed(bench: Bench) -> None:
    """What a file with the prefix in it must be is computed from the package's own file: that must be right itself."""
    name = "etc/tiny/tiny.conf"
    for place in (bench.prefix / name, bench.cached("libtiny") / name):
        rewrite(place, lambda data: data.replace(b"lib64", b"lib63"))
    assert bench.findings(deep=True) == {name: "changed"}


TROUBLES: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "missing": (lambda p: (p / "share/tiny/run.sh").unlink(), {"share/tiny/run.sh": "missing"}),
    "empty file missing": (
        lambda p: (p / SITE / "tiny_noarch/empty.py").unlink(),
        {f"{SITE}/tiny_noarch/empty.py": "missing"},
    ),
    "resized": (lambda p: rewrite(p / "share/tiny/run.sh", lambda d: d + b"#"), {"share/tiny/run.sh": "resized"}),
    "a text with the prefix": (
        lambda p: rewrite(p / "etc/tiny/tiny.conf", lambda d: d.replace(b"lib64", b"lib63")),
        {"etc/tiny/tiny.conf": "changed"},
    ),
    "a binary with the prefix": (
        lambda p: rewrite(p / "lib/libtiny.so.1.2.3", lambda d: flip(d, 40)),
        {"lib/libtiny.so.1.2.3": "changed"},
    ),
    "a prefix of elsewhere": (
        lambda p: rewrite(p / "bin/tiny-script", lambda d: d.replace(str(p).encode(), b"/" + b"x" * (len(str(p)) - 1))),
        {"bin/tiny-script": "changed"},
    ),
    "a generated program": (
        lambda p: rewrite(p / "bin/tiny", lambda d: d.replace(b"import main", b"import evil")),
        {"bin/tiny": "changed"},
    ),
    "a link": (
        lambda p: ((p / "lib/libtiny.so").unlink(), (p / "lib/libtiny.so").symlink_to("libtiny.so.1.2.3")),
        {"lib/libtiny.so": "link"},
    ),
    "a file for a link": (
        lambda p: ((p / "share/tiny/latest").unlink(), (p / "share/tiny/latest").write_bytes(b"")),
        {"share/tiny/latest": "link"},
    ),
    "a link for a file": (
        lambda p: ((p / "share/tiny/run.sh").rename(p / "x"), (p / "share/tiny/run.sh").symlink_to("../../x")),
        {"share/tiny/run.sh": "link", "x": "foreign"},
    ),
    "not executable": (lambda p: _chmod(p / "share/tiny/run.sh", 0o644), {"share/tiny/run.sh": "mode"}),
    "executable": (lambda p: _chmod(p / "share/tiny/large.bin", 0o755), {"share/tiny/large.bin": "mode"}),
    "anybody's": (lambda p: _chmod(p / "share/tiny/large.bin", 0o666), {"share/tiny/large.bin": "mode"}),
    "runs as its owner": (lambda p: _chmod(p / "share/tiny/run.sh", 0o4755), {"share/tiny/run.sh": "mode"}),
    "a module that shadows": (
        lambda p: (p / SITE / "tiny_noarch.py").write_text(""),
        {f"{SITE}/tiny_noarch.py": "foreign"},
    ),
    "a compiled module without its source": (
        lambda p: (p / SITE / "evil.pyc").write_bytes(b"x"),
        {f"{SITE}/evil.pyc": "foreign"},
    ),
    "a home of another Python": (lambda p: (p / "pyvenv.cfg").write_text("home = /x\n"), {"pyvenv.cfg": "foreign"}),
    "variables of whoever activates": (
        lambda p: (p / "conda-meta/state").write_text('{"env_vars": {"PYTHONPATH": "/x"}}'),
        {"conda-meta/state": "foreign"},
    ),
    "a name that is not UTF-8": (
        lambda p: Path(os.fsdecode(os.fsencode(p) + b"/share/\xff.txt")).touch(),
        {"share/\\xff.txt": "foreign"},
    ),
    "a pipe": (
        lambda p: ((p / "share/tiny/run.sh").unlink(), os.mkfifo(p / "share/tiny/run.sh")),
        {"share/tiny/run.sh": "link"},
    ),
    "a torn record": (
        lambda p: (p / "conda-meta/tiny-meta-1.0-0.json").write_text("{"),
        {"conda-meta/tiny-meta-1.0-0.json": "unreadable"},
    ),
}


def _chmod(path: Path, mode: int) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    path.chmod(mode)


@pytest.mark.parametrize("what", TROUBLES)
def test_each_trouble_is_found_and_named_by_a_deep_look_and_a_fast_one(bench: Bench, what: str) -> None:
    cause, expected = TROUBLES[what]
    cause(bench.prefix)
    for deep in (True, False):
        found = bench.look(deep=deep)
        assert {finding.path: finding.problem for finding in found.findings} == expected
        assert EnvironmentEvidence.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("what", ["a home of another Python", "variables of whoever activates"])
def test_what_changes_what_runs_fails(bench: Bench, what: str) -> None:
    TROUBLES[what][0](bench.prefix)
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {"ENV007": Status.FAIL}


def test_variables_of_nobody_are_no_finding(bench: Bench) -> None:
    (bench.prefix / "conda-meta/state").write_text('{"env_vars": {}}')
    assert bench.troubles(deep=True) == {}


@pytest.mark.parametrize("stale", ["tiny-data-1.0-0.json", "tiny-data-9.0-0.json"], ids=["before", "after"])
def test_two_records_of_a_package_are_told_and_one_goes(bench: Bench, stale: str) -> None:
    data = json.loads((bench.prefix / "conda-meta/tiny-data-2.0-0.json").read_text())
    data |= {"version": stale.split("-")[2], "files": [], "paths_data": {"paths": []}}
    (bench.prefix / "conda-meta" / stale).write_text(json.dumps(data))
    for deep in (True, False):
        assert bench.troubles(deep=deep)["ENV003"] is Status.FAIL
        assert "ENV007" not in bench.troubles(deep=deep)
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_an_environment_is_looked_at_under_the_name_that_it_was_made_under(bench: Bench, tmp_path: Path) -> None:
    from nomic_scaffold.workflows.verify import prefix_at

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    bench.install(offline=True, prefix=tmp_path / "link/env")
    found = prefix_at(tmp_path / "link/env")
    assert not isinstance(found, Unavailable)
    assert bench.look(deep=True, prefix=found.path).findings == ()


def test_an_environment_that_is_not_there_is_named_with_what_makes_it(tmp_path: Path) -> None:
    from nomic_scaffold.workflows.verify import prefix_at

    found = prefix_at(tmp_path / "my env")
    assert found == Unavailable(
        unavailable=f"{tmp_path / 'my env'} is not there",
        hint=f"nomic-scaffold install --prefix '{tmp_path / 'my env'}'",
    )


def test_a_finding_says_whose_the_file_is_and_when_it_changed(bench: Bench) -> None:
    rewrite(bench.prefix / "share/tiny/run.sh", lambda data: data.replace(b"0", b"1"))
    os.utime(bench.prefix / "share/tiny/run.sh", (1_790_000_000, 1_790_000_000))
    found = bench.finding("share/tiny/run.sh", deep=False)
    assert found.owner == "tiny-data"
    assert "modified 2026-09-21T" in found.detail


def test_a_missing_package_is_one_finding_and_not_its_files(bench: Bench) -> None:
    (bench.prefix / "conda-meta/tiny-old-0.9-py_1.json").unlink()
    shutil.rmtree(bench.prefix / "share/old")
    assert bench.troubles(deep=True) == {"ENV002": Status.FAIL}


def test_files_of_an_extra_package_are_its_own(filled: Bench, tmp_path: Path) -> None:
    bench = filled.copied(tmp_path)
    bench.install(offline=True)
    bench.packages = tuple(p for p in bench.packages if p.name != "tiny-old")
    assert bench.troubles(deep=True) == {"ENV003": Status.FAIL}


# Where the archives are


def test_without_archives_the_report_says_that_nobody_vouches(bench: Bench) -> None:
    shutil.rmtree(bench.cache)
    assert bench.troubles(deep=True) == {"ENV012": Status.UNKNOWN}
    rewrite(bench.prefix / "share/tiny/run.sh", lambda data: data.replace(b"0", b"1"))
    assert bench.troubles(deep=True) == {"ENV009": Status.FAIL, "ENV012": Status.UNKNOWN}


def test_archives_that_are_gone_can_be_fetched_for_the_proof(bench: Bench, channel: Served) -> None:
    shutil.rmtree(bench.cache)
    assert bench.look(deep=True, fetch_missing=True).findings == ()
    keep_times(bench.prefix / "share/tiny/run.sh", lambda data: data.replace(b"0", b"1"))
    assert bench.findings(deep=True) == {"share/tiny/run.sh": "changed"}


def test_an_archive_that_rotted_is_no_witness(bench: Bench) -> None:
    archive = next((bench.cache / "archives").glob("*/libtiny-*.conda"))
    keep_times(archive, lambda data: flip(data, len(data) // 2))
    found = bench.finding("conda-meta/libtiny-1.2.3-h1_0.json", deep=True)
    assert found.problem == "unwitnessed"
    assert "is not the locked archive any more" in found.detail


def test_files_of_a_python_whose_archive_is_gone_are_still_placed(bench: Bench) -> None:
    """Where noarch packages go is known from python's record: one archive that lacks is unknown, and no more."""
    shutil.rmtree(next((bench.cache / "archives").glob("*/python-3*")).parent)
    assert bench.troubles(deep=True) == {"ENV012": Status.UNKNOWN}


def test_the_proof_needs_no_unpacked_packages(bench: Bench) -> None:
    shutil.rmtree(bench.cache / "unpacked")
    assert bench.troubles(deep=True) == {}


# Environments of other installers


def as_conda(bench: Bench, *, sha256: bool = True, archives: bool = True) -> None:
    """Turn the environment into what `conda create --file` leaves: its records, scripts, compiled files, cache."""
    pkgs = bench.root / "conda-pkgs"
    pkgs.mkdir()
    for name in ("tiny", "tiny-deep"):  # conda indents with blanks, rattler with a tab
        rewrite(bench.prefix / "bin" / name, lambda data: data.replace(b"\t", b"    "))
    for path in sorted((bench.prefix / "conda-meta").glob("*.json")):
        data = json.loads(path.read_text())
        if archives:
            archive = next((bench.cache / "archives").glob(f"*/{data['fn']}"))
            shutil.move(archive, pkgs / data["fn"])
        data = _conda_record(data, pkgs, bench.prefix, sha256=sha256)
        path.write_text(json.dumps(data, indent=2, sort_keys=True))
    compiled = bench.prefix / SITE / "tiny_noarch/__pycache__/__init__.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"compiled")
    for name in (witness.NAME, NOTE, "CACHEDIR.TAG"):
        (bench.prefix / name).unlink()
    shutil.rmtree(bench.cache)


def _conda_record(data: dict[str, Any], pkgs: Path, prefix: Path, *, sha256: bool) -> dict[str, Any]:
    """Write a record as conda's PrefixRecord.dump does (conda/models/records.py)."""
    stem = data["fn"].removesuffix(".conda").removesuffix(".tar.bz2")
    channel = f"https://conda.anaconda.org/conda-forge/{data['subdir']}"
    data |= {
        "channel": channel,
        "package_tarball_full_path": str(pkgs / data["fn"]),
        "extracted_package_dir": str(pkgs / stem),
        "link": {"source": str(pkgs / stem), "type": 1},
        "package_type": data.get("noarch"),
        "requested_spec": "None",
        "arch": "x86_64",
        "track_features": "",
    }
    data.pop("requested_specs", None)
    if not sha256:
        data.pop("sha256")
    for entry in data["paths_data"]["paths"]:
        entry["sha256_in_prefix"] = entry.get("sha256_in_prefix", entry.get("sha256"))
        if entry["path_type"] == "softlink":
            entry["sha256_in_prefix"] = entry["sha256"]  # conda hashes what a link leads to
        if entry["path_type"] == "unix_python_entry_point":
            entry.pop("sha256", None)
            entry["sha256_in_prefix"] = hashlib.sha256((prefix / entry["_path"]).read_bytes()).hexdigest()
            entry.pop("size_in_bytes", None)
    if data["name"] == "tiny-noarch":
        compiled = f"{SITE}/tiny_noarch/__pycache__/__init__.cpython-311.pyc"
        data["files"].append(compiled)
        data["paths_data"]["paths"].append({"_path": compiled, "path_type": "pyc_file"})
    return data


def as_micromamba(bench: Bench) -> None:
    """Turn the environment into what `micromamba create --file` leaves (libmamba's core/link.cpp)."""
    as_conda(bench)
    for path in (bench.prefix / "conda-meta").glob("*.json"):
        data = json.loads(path.read_text())
        data["channel"] = "conda-forge"
        data["requested_spec"] = data["url"]
        data["timestamp"] = 0
        data.pop("package_type")
        path.write_text(json.dumps(data, indent=4))


def test_what_conda_made_is_proven_from_condas_own_cache(bench: Bench) -> None:
    as_conda(bench)
    assert bench.troubles(deep=True) == {}
    rewrite(bench.prefix / "etc/tiny/tiny.conf", lambda data: data.replace(b"lib64", b"lib63"))
    assert bench.troubles(deep=True) == {"ENV009": Status.FAIL}


def test_what_conda_made_from_md5_needs_the_deep_look(bench: Bench) -> None:
    """`conda-lock install` hands conda a list with md5 only, so its records may hold no sha256."""
    as_conda(bench, sha256=False)
    assert bench.troubles(deep=True) == {}
    assert bench.troubles(deep=False) == {"ENV005": Status.UNKNOWN}


def test_what_conda_made_without_a_cache_is_fetched_for(bench: Bench, channel: Served) -> None:
    as_conda(bench, archives=False)
    assert bench.troubles(deep=True) == {"ENV012": Status.UNKNOWN}
    assert bench.look(deep=True, fetch_missing=True).findings == ()


def test_what_micromamba_made_is_proven(bench: Bench) -> None:
    as_micromamba(bench)
    assert bench.troubles(deep=True) == {}
    assert bench.troubles(deep=False) == {}
    (bench.prefix / "lib/libtiny.so").unlink()
    assert bench.troubles(deep=False) == {"ENV006": Status.FAIL}


def test_a_quick_look_at_what_conda_made_compares_sizes_links_and_permissions(bench: Bench) -> None:
    as_conda(bench)
    rewrite(bench.prefix / "share/tiny/run.sh", lambda data: data + b"#")
    (bench.prefix / "share/tiny/latest").unlink()
    (bench.prefix / "share/tiny/latest").symlink_to("run.sh")
    (bench.prefix / "bin/tiny-config").chmod(0o644)
    assert bench.findings(deep=False) == {
        "share/tiny/run.sh": "resized",
        "share/tiny/latest": "link",
        "bin/tiny-config": "mode",
    }


def test_records_without_archives_are_held_against_themselves(bench: Bench) -> None:
    as_conda(bench, archives=False)
    rewrite(bench.prefix / "share/tiny/run.sh", lambda data: data.replace(b"0", b"1"))
    found = bench.look(deep=True).findings
    assert {f.path for f in found if f.problem == "changed"} == {"share/tiny/run.sh"}
    assert sum(f.problem == "unwitnessed" for f in found) == 6


# Packages that share a path


def clobbering(tmp_path: Path, *, folder: bool = False) -> tuple[Path, tuple[LockedPackage, ...]]:
    """Make two packages with the same paths; with `folder` also a file of one where the other has a folder."""
    first = Package("first", "1", "0")
    first.add("share/both.txt", b"of first\n")
    first.add("share/placed.txt", f"first {PLACEHOLDER}\n".encode(), 0o644, "text")
    second = Package("second", "1", "0", depends=["first"])
    second.add("share/both.txt", b"of second\n")
    if folder:
        first.add("share/folder", b"a file of first\n")
        second.add("share/folder/x.txt", b"x\n")
    second.add("share/placed.txt", f"second {PLACEHOLDER}\n".encode(), 0o644, "text")
    made = write(tmp_path / "channel", [first, second])
    return made, locked(made, "second")


def test_two_packages_with_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, packages = clobbering(tmp_path)
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench = Bench(tmp_path / "bench", packages)
        bench.install()
    assert bench.troubles(deep=True) == {}
    assert bench.troubles(deep=False) == {}
    for deep in (True, False):
        rewrite(bench.prefix / "share/both.txt", lambda data: data.replace(b"second", b"nobody"))
        assert bench.findings(deep=deep) == {"share/both.txt": "changed"}
    rewrite(bench.prefix / "__clobbers__/first/share/both.txt", lambda data: data.replace(b"first", b"worst"))
    assert set(bench.findings(deep=True)) == {"share/both.txt", "__clobbers__/first/share/both.txt"}


def test_a_file_where_another_package_has_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, packages = clobbering(tmp_path, folder=True)
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench = Bench(tmp_path / "bench", packages)
        with pytest.raises(InputError, match="first is refused: it has a file 'share/folder' where second"):
            bench.install()
    assert not (bench.prefix / "share").exists()


def test_a_pipe_in_the_place_of_a_shared_file_is_told_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, packages = clobbering(tmp_path)
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench = Bench(tmp_path / "bench", packages)
        bench.install()
    (bench.prefix / "share/both.txt").unlink()
    os.mkfifo(bench.prefix / "share/both.txt")
    for deep in (True, False):
        assert bench.findings(deep=deep) == {"share/both.txt": "link"}
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_the_loser_may_be_dropped_as_conda_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, packages = clobbering(tmp_path)
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench = Bench(tmp_path / "bench", packages)
        bench.install()
    shutil.rmtree(bench.prefix / "__clobbers__")
    assert bench.findings(deep=True) == {}


# pip's part


def fake_wheel(prefix: Path, name: str = "extra", version: str = "1.0") -> Path:
    """Put a package into site-packages as pip does."""
    site = prefix / SITE
    (site / name).mkdir()
    (site / name / "__init__.py").write_text("x = 1\n")
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    rows = []
    for path in (site / name / "__init__.py", info / "METADATA"):
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        rows.append(f"{path.relative_to(site)},sha256={digest},{path.stat().st_size}")
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,"]) + "\n")
    return info


def test_what_pip_adds_is_an_extra_package_not_loose_files(bench: Bench) -> None:
    fake_wheel(bench.prefix)
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {"ENV003": Status.FAIL}
    bench.install(offline=True)
    assert bench.troubles(deep=True) == {}


def test_an_empty_folder_that_a_removal_left_is_no_package(bench: Bench) -> None:
    (bench.prefix / SITE / "gone-1.0.dist-info/licenses").mkdir(parents=True)
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}


def locked_wheel(bench: Bench) -> LockedPackage:
    platform = bench.packages[0].platform
    return LockedPackage(
        name="extra",
        version="1.0",
        manager="pip",
        platform=platform,
        url="https://example.org/extra-1.0-py3-none-any.whl",
        sha256="e" * 64,
        md5=None,
    )


def test_a_locked_wheel_that_does_not_come_is_told(bench: Bench) -> None:
    from nomic_scaffold.errors import UnavailableError

    bench.packages = (*bench.packages, locked_wheel(bench))
    with pytest.raises(UnavailableError, match=r"extra 1\.0 of the lock's pip section is not installed"):
        bench.install(offline=True, pip=lambda prefix, packages, wheels: None)
    assert not (bench.prefix / witness.NAME).exists()
    assert not (bench.prefix / NOTE).exists()
