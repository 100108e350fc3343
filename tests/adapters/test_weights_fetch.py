from __future__ import annotations

import errno
import hashlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nomic_scaffold.adapters import weights
from nomic_scaffold.adapters.weights.add import none_of_them
from nomic_scaffold.adapters.weights.copying import copy_checked
from nomic_scaffold.adapters.weights.failures import WrongBytesError
from nomic_scaffold.adapters.weights.http import BLOCK, Patience
from nomic_scaffold.adapters.weights.known import read_manifests
from nomic_scaffold.adapters.weights.store import Store
from nomic_scaffold.adapters.weights.writing import require_space, write_all
from nomic_scaffold.errors import HashMismatchError, InputError, UnavailableError
from nomic_scaffold.models.evidence import Unavailable, WeightsEvidence
from nomic_scaffold.models.progress import Meter, Silent, Unit
from nomic_scaffold.models.spec import ModelPin
from nomic_scaffold.models.weights import HubSource, OfficialFile, UrlSource
from tests.support.server import Fault, Served, serve
from tests.support.weights import REPOSITORY, REVISION, publish

CONTENT = random.Random(2).randbytes(200_000)
OTHER = random.Random(3).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PIN = ModelPin(
    repository=REPOSITORY,
    revision=REVISION,
    file="model.gguf",
    sha256=SHA256,
    size=len(CONTENT),
    dimension=768,
    max_tokens=8192,
)


@dataclass
class Heard:
    """Progress that remembers what was said."""

    said: list[str] = field(default_factory=list)

    def say(self, message: str) -> None:
        self.said.append(message)

    def meter(self, label: str, *, total: int | None, unit: Unit) -> AbstractContextManager[Meter]:
        return Silent().meter(label, total=total, unit=unit)


@dataclass
class Bench:
    """A server with `good` and `bad` bytes, an empty store, and a user without other caches."""

    served: Served
    store: Store
    home: Path
    heard: Heard = field(default_factory=Heard)

    def wanted(self, *paths: str) -> OfficialFile:
        sources = tuple(UrlSource(kind="url", name=path, url=f"{self.served.url}/{path}") for path in paths)
        return OfficialFile(file="model.gguf", what="the test file", sha256=SHA256, size=len(CONTENT), sources=sources)

    def fetch(self, wanted: OfficialFile, *, offline: bool = False, **environ: str) -> weights.Fetched:
        return weights.fetch(
            wanted,
            self.store,
            progress=self.heard,
            offline=offline,
            environ={"HOME": str(self.home), **environ},
            patience=Patience(sleep=lambda _: None),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    site = tmp_path / "site"
    site.mkdir()
    (site / "good").write_bytes(CONTENT)
    (site / "bad").write_bytes(OTHER)
    publish(site, CONTENT)
    with serve(site) as served:
        yield Bench(served, weights.open_store(tmp_path / "my store 仓库"), tmp_path / "home")


def test_the_file_gets_its_name_only_when_whole_and_can_t_be_written(bench) -> None:
    fetched = bench.fetch(bench.wanted("good"))
    assert fetched.path == bench.store.root / SHA256 / "model.gguf"
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.path.stat().st_mode & 0o222 == 0
    assert not bench.store.partial(SHA256).exists()


def test_sources_are_tried_in_order_and_each_failure_is_one_line(bench) -> None:
    fetched = bench.fetch(bench.wanted("missing", "bad", "good"))
    assert fetched.source == "good"
    assert [(a.source, a.wrong_bytes) for a in fetched.failed] == [("missing", False), ("bad", True)]
    assert [line for line in bench.heard.said if line.startswith("  ")] == [
        "  missing: answered 404 Not Found",
        f"  bad: gave other bytes (sha256 {hashlib.sha256(OTHER).hexdigest()})",
    ]


def test_when_all_fail_each_source_is_named_with_its_reason_and_what_to_do(bench) -> None:
    with pytest.raises(UnavailableError) as error:
        bench.fetch(bench.wanted("missing", "gone"))
    assert "missing: answered 404" in error.value.message
    assert "gone: answered 404" in error.value.message
    assert "nomic-scaffold weights add FILE" in error.value.hint


def test_when_only_liars_answer_it_is_a_hash_mismatch(bench) -> None:
    with pytest.raises(HashMismatchError, match="no source gave the pinned bytes"):
        bench.fetch(bench.wanted("bad", "missing"))
    assert bench.store.path(SHA256) is None


def test_a_second_source_goes_on_with_the_bytes_of_the_first(bench) -> None:
    (bench.served.folder / "short").write_bytes(CONTENT[:150_000] + bytes(50_000))
    bench.served.faults["/short"] = Fault(truncate_at=150_000, ignore_range=True)
    bench.fetch(bench.wanted("short", "good"))
    assert bench.served.requests[-1].headers["Range"] == f"bytes={150_000 // BLOCK * BLOCK}-"


def test_what_is_in_the_store_needs_no_network(bench) -> None:
    bench.fetch(bench.wanted("good"))
    bench.served.requests.clear()
    assert bench.fetch(bench.wanted("good"), offline=True).source == "the store"
    assert bench.served.requests == []


def test_offline_asks_nobody(bench) -> None:
    with pytest.raises(UnavailableError, match="--offline allows no network"):
        bench.fetch(bench.wanted("good"), offline=True)
    assert bench.served.requests == []


def test_a_tampered_file_in_the_store_is_never_used_and_fetched_again(bench) -> None:
    stored = bench.fetch(bench.wanted("good")).path
    stored.chmod(0o644)
    with stored.open("r+b") as file:
        file.write(b"tampered")
    stored.chmod(0o444)
    with pytest.raises(UnavailableError):
        bench.fetch(bench.wanted("good"), offline=True)
    assert bench.fetch(bench.wanted("good")).path.read_bytes() == CONTENT
    assert bench.heard.said.count("the store's copy of model.gguf is damaged; it will not be used") == 2  # once a run


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_the_token_goes_to_the_hub_and_not_where_it_redirects(bench, tmp_path, variable) -> None:
    (tmp_path / "cdn").mkdir()
    (tmp_path / "cdn" / "blob").write_bytes(CONTENT)
    with serve(tmp_path / "cdn") as cdn:
        elsewhere = cdn.url.replace("127.0.0.1", "localhost") + "/blob"
        bench.served.faults["*"] = Fault(status=302, headers={"Location": elsewhere})
        bench.fetch(hub_file(), HF_ENDPOINT=bench.served.url + "/", **{variable: "hf_secret"})
    assert [r.headers.get("Authorization") for r in bench.served.requests] == ["Bearer hf_secret"]
    assert [r.headers.get("Authorization") for r in cdn.requests] == [None]


def test_the_hub_is_asked_for_the_pinned_revision(bench) -> None:
    assert bench.fetch(hub_file(), HF_ENDPOINT=bench.served.url).source == "Hugging Face"
    assert [r.path for r in bench.served.requests] == [f"/{REPOSITORY}/resolve/{REVISION}/model.gguf"]
    assert "Authorization" not in bench.served.requests[0].headers


def test_an_offline_hub_is_not_asked(bench) -> None:
    with pytest.raises(UnavailableError, match="Hugging Face: HF_HUB_OFFLINE is set"):
        bench.fetch(hub_file(), HF_ENDPOINT=bench.served.url, HF_HUB_OFFLINE="1")
    assert bench.served.requests == []


@pytest.mark.parametrize("address", ["mirror.example", "ftp://mirror.example", "https://", "/a/folder"])
def test_a_hub_that_is_no_address_is_named_as_such(bench, address: str) -> None:
    with pytest.raises(UnavailableError, match="HF_ENDPOINT is not an address that starts with https://"):
        bench.fetch(hub_file(), HF_ENDPOINT=address)


def hub_file() -> OfficialFile:
    source = HubSource(kind="huggingface", repository=REPOSITORY, revision=REVISION, path="model.gguf")
    return OfficialFile(file="model.gguf", what="the test file", sha256=SHA256, size=len(CONTENT), sources=(source,))


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(f".cache/huggingface/hub/models--some-team--some-model/blobs/{SHA256}", id="Hugging Face's cache"),
        pytest.param(".cache/gpt4all/model.gguf", id="GPT4All's folder"),
    ],
)
def test_another_program_s_copy_is_taken_without_a_network(bench, place) -> None:
    there = bench.home / place
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    fetched = bench.fetch(hub_file(), offline=True)
    assert fetched.source == str(there)
    assert fetched.path.read_bytes() == CONTENT
    assert not fetched.path.samefile(there)


def test_another_program_s_other_file_is_not_taken(bench) -> None:
    there = bench.home / ".cache/gpt4all/model.gguf"
    there.parent.mkdir(parents=True)
    there.write_bytes(OTHER)
    assert bench.fetch(bench.wanted("good")).source == "good"


def test_of_many_at_once_one_fetches_and_the_others_wait(bench) -> None:
    bench.served.faults["/good"] = Fault(delay=0.05)
    results: list[weights.Fetched] = []
    threads = [threading.Thread(target=lambda: results.append(bench.fetch(bench.wanted("good")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.source for result in results) == ["good", "the store", "the store", "the store"]
    assert len(bench.served.requests) == 1
    assert "another process is fetching this file; waiting for it" in bench.heard.said


def test_a_disk_without_room_is_told_before_the_start(tmp_path) -> None:
    with pytest.raises(UnavailableError) as error:
        require_space(tmp_path, 1_000_000, free=lambda _: 999_999)
    assert error.value.message == f"not enough space in {tmp_path}: 1,000,000 bytes needed, 999,999 free"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_fills_up_is_told_with_the_folder_and_the_bytes(tmp_path) -> None:
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(UnavailableError, match="5 bytes needed, 0 free") as error,
    ):
        write_all(tmp_path / "part", full, b"bytes", missing=5, free=lambda _: 0)
    assert str(tmp_path) in error.value.message
    assert "it goes on where it stopped" in error.value.hint


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_store_is_told(tmp_path, code) -> None:
    from nomic_scaffold.adapters.weights.writing import refusal

    error = refusal(tmp_path, OSError(code, os.strerror(code)))
    assert error.message == f"can't write in {tmp_path}: it is read-only for you"
    assert "NOMIC_SCAFFOLD_STORE" in error.hint


def test_a_store_that_can_t_be_made_is_told(bench, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    bench.store = weights.open_store(tmp_path / "file" / "store")
    with pytest.raises(UnavailableError, match="can't write in"):
        bench.fetch(bench.wanted("good"))


# --- placing


def test_a_project_gets_a_read_only_link(bench, tmp_path) -> None:
    stored = bench.fetch(bench.wanted("good")).path
    destination = tmp_path / "my project 项目" / "weights" / "renamed.gguf"
    assert weights.place(PIN, bench.store, destination) == "link"
    assert destination.samefile(stored)
    assert destination.stat().st_mode & 0o222 == 0
    assert weights.place(PIN, bench.store, destination) == "present"
    assert [path.name for path in destination.parent.iterdir()] == ["renamed.gguf"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_container_s_user_may_read_the_file_whatever_the_umask(bench, tmp_path) -> None:
    bench.fetch(bench.wanted("good"))
    before = os.umask(0o077)
    try:
        weights.place(PIN, bench.store, tmp_path / "weights" / "model.gguf")
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "weights" / "model.gguf").stat().st_mode & 0o777 == 0o444


def test_a_wrong_file_in_the_project_is_replaced(bench, tmp_path) -> None:
    bench.fetch(bench.wanted("good"))
    destination = tmp_path / "model.gguf"
    destination.write_bytes(OTHER)
    destination.chmod(0o444)
    assert weights.place(PIN, bench.store, destination) == "link"
    assert destination.read_bytes() == CONTENT


def test_a_right_copy_in_the_project_stays(bench, tmp_path) -> None:
    stored = bench.fetch(bench.wanted("good")).path
    destination = tmp_path / "model.gguf"
    destination.write_bytes(CONTENT)
    assert weights.place(PIN, bench.store, destination) == "present"
    assert not destination.samefile(stored)


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev,
    reason="needs a second file system",
)
def test_across_file_systems_a_project_gets_a_checked_copy(bench) -> None:
    import tempfile

    stored = bench.fetch(bench.wanted("good")).path
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        destination = Path(folder) / "model.gguf"
        assert weights.place(PIN, bench.store, destination) == "copy"
        assert destination.read_bytes() == CONTENT
        assert destination.stat().st_mode & 0o222 == 0
        assert [path.name for path in Path(folder).iterdir()] == ["model.gguf"]
    assert stored.exists()


def test_a_copy_of_wrong_bytes_leaves_nothing(bench, tmp_path) -> None:
    (tmp_path / "other").write_bytes(OTHER)
    (tmp_path / "folder").mkdir()
    with pytest.raises(WrongBytesError):
        copy_checked(tmp_path / "other", tmp_path / "folder", wanted=bench.wanted("good"), progress=Silent())
    assert list((tmp_path / "folder").iterdir()) == []


def test_nothing_is_placed_from_a_store_that_lacks_it(bench, tmp_path) -> None:
    with pytest.raises(UnavailableError, match="is not in the store") as error:
        weights.place(PIN, bench.store, tmp_path / "model.gguf")
    assert error.value.hint == "nomic-scaffold weights pull"


def test_inspect_tells_what_lies_there(tmp_path) -> None:
    file = tmp_path / "model.gguf"
    assert weights.inspect(file, PIN) == WeightsEvidence(file="model.gguf", size=None, sha256=None)
    file.write_bytes(CONTENT)
    assert weights.inspect(file, PIN) == WeightsEvidence(file="model.gguf", size=len(CONTENT), sha256=SHA256)
    file.unlink()
    file.mkdir()
    assert isinstance(weights.inspect(file, PIN), Unavailable)


# --- adding


def add(bench: Bench, place: Path) -> weights.Fetched:
    return weights.add(place, (bench.wanted("good"),), bench.store, progress=bench.heard)[1]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: folder / "any name.bin", id="a file"),
        pytest.param(lambda folder: folder / "deep" / "er" / "模型.bin", id="a folder"),
    ],
)
def test_a_file_brought_by_people_is_found_by_its_hash(bench, tmp_path, make: Callable[[Path], Path]) -> None:
    brought = make(tmp_path / "usb stick")
    brought.parent.mkdir(parents=True)
    (brought.parent / "decoy").write_bytes(OTHER)
    brought.write_bytes(CONTENT)
    place = brought if brought.parent.name == "usb stick" else tmp_path / "usb stick"
    assert add(bench, place).path.read_bytes() == CONTENT
    assert brought.stat().st_mode & 0o200, "people's own file stays as it was"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(OTHER, hashlib.sha256(OTHER).hexdigest(), id="other bytes of the same size"),
        pytest.param(CONTENT[:-1], "sha256", id="cut off"),
    ],
)
def test_a_wrong_file_is_refused_with_its_hash(bench, tmp_path, content, says) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(HashMismatchError, match=says):
        add(bench, tmp_path / "model.gguf")
    assert bench.store.path(SHA256) is None


def test_another_official_file_is_called_by_its_name(bench, tmp_path) -> None:
    known = next(file for one in read_manifests() for file in one.files if file.file == "vocab.txt")
    assert add_words(tmp_path / "vocab.txt", known.sha256).endswith(", which is the official vocab.txt")
    assert add_words(tmp_path / "vocab.txt", SHA256).endswith(SHA256)


def add_words(path: Path, sha256: str) -> str:
    return none_of_them(path, [(path, sha256)], (hub_file(),)).message


def test_a_folder_without_the_file_is_refused(bench, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HashMismatchError, match="holds no file of the size of the test file"):
        add(bench, tmp_path / "empty")


def test_nothing_to_add_is_an_input_error(bench, tmp_path) -> None:
    with pytest.raises(InputError, match="neither a file nor a folder"):
        add(bench, tmp_path / "nowhere")


def test_the_store_lists_whole_and_partial_files(bench) -> None:
    assert bench.store.entries() == ()
    bench.served.faults["/good"] = Fault(truncate_at=100_000, ignore_range=True)
    with pytest.raises(UnavailableError):
        bench.fetch(bench.wanted("good"))
    (partial,) = bench.store.entries()
    assert (partial.partial, partial.sha256) == (True, SHA256)
    del bench.served.faults["/good"]
    bench.fetch(bench.wanted("good"))
    (whole,) = bench.store.entries()
    assert (whole.partial, whole.size, whole.path.name) == (False, len(CONTENT), "model.gguf")


def test_the_store_lies_in_the_cache_folder_unless_told(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("NOMIC_SCAFFOLD_STORE", raising=False)
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert weights.open_store().root == tmp_path / "nomic-scaffold" / "weights"
    monkeypatch.setenv("NOMIC_SCAFFOLD_STORE", str(tmp_path / "mine"))
    assert weights.open_store().root == tmp_path / "mine"
