from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomic_scaffold.adapters.weights.failures import RefusedError, SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.http import BLOCK, Patience, Remote, download, open_session
from tests.support.server import Fault, Served, serve

CONTENT = random.Random(1).randbytes(300_000)
HALF = 150_000
PATH = "/model.gguf"


class Counted:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.seen = 0

    def advance(self, amount: int) -> None:
        self.seen += amount

    def resize(self, total: int | None) -> None:
        pass


class KilledError(Exception):
    """Stands for the end of the process."""


def kill(_: float) -> None:
    raise KilledError


class Fetching:
    """One file to fetch from one server, with waits that only get written down."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.part = served, folder / "模型 files" / "model.gguf.part"
        self.waits: list[float] = []
        self.meter = Counted()

    def run(self, content: bytes = CONTENT, *, read: float = 5.0, path: str = PATH, sleep: object = None) -> bytes:
        patience = Patience(read=read, sleep=sleep or self.waits.append)
        remote = Remote(url=self.served.url + path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        with open_session() as session:
            download(remote, self.part, session=session, meter=self.meter, patience=patience)
        return self.part.read_bytes()

    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.served.requests]


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "model.gguf").write_bytes(CONTENT)
    with serve(tmp_path / "site") as served:
        yield Fetching(served, tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(truncate_at=HALF, times=1), id="closes half way"),
        pytest.param(Fault(reset_at=HALF, times=1), id="resets half way"),
        pytest.param(Fault(reset_at=0, times=1), id="resets at once"),
        pytest.param(Fault(no_length=True, truncate_at=HALF, times=1), id="ends early without a length"),
        pytest.param(Fault(status=503, times=2), id="busy"),
        pytest.param(Fault(status=429, headers={"Retry-After": "3"}, times=1), id="too many requests"),
        pytest.param(Fault(no_length=True), id="never says a length"),
    ],
)
def test_a_passing_fault_costs_only_an_attempt(fetching, fault) -> None:
    fetching.served.faults[PATH] = fault
    assert fetching.run() == CONTENT
    assert fetching.meter.seen == len(CONTENT)


def test_a_broken_download_goes_on_where_it_broke(fetching) -> None:
    fetching.served.faults[PATH] = Fault(truncate_at=HALF, times=1)
    assert fetching.run() == CONTENT
    first, second = fetching.ranges()
    assert first is None
    assert HALF - BLOCK <= int(second.removeprefix("bytes=").removesuffix("-")) <= HALF


def test_bytes_of_an_earlier_run_are_not_fetched_again(fetching) -> None:
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(CONTENT[:HALF])
    assert fetching.run() == CONTENT
    assert fetching.ranges() == [f"bytes={HALF}-"]


def test_a_whole_file_of_an_earlier_run_needs_no_network(fetching) -> None:
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(CONTENT)
    assert fetching.run() == CONTENT
    assert fetching.served.requests == []


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(b"x" * HALF, id="wrong bytes"),
        pytest.param(b"x" * len(CONTENT), id="wrong bytes of the right length"),
        pytest.param(CONTENT + b"x", id="too many"),
    ],
)
def test_a_damaged_rest_of_an_earlier_run_is_thrown_away(fetching, there) -> None:
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(there)
    assert fetching.run() == CONTENT
    assert fetching.meter.seen == len(CONTENT)


def test_a_server_without_ranges_is_read_from_the_start(fetching) -> None:
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(CONTENT[:HALF])
    fetching.served.faults[PATH] = Fault(ignore_range=True)
    assert fetching.run() == CONTENT
    assert fetching.meter.seen == len(CONTENT)


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(fetching) -> None:
    fetching.served.faults[PATH] = Fault(ignore_range=True, truncate_at=HALF)
    with pytest.raises(SourceError):
        fetching.run()
    assert len(fetching.served.requests) == 5 + 1  # the first brought something, five in a row did not


def test_a_file_that_changed_meanwhile_is_not_mixed(fetching) -> None:
    old = bytes(byte ^ 255 for byte in CONTENT)
    site = fetching.served.folder / "model.gguf"
    site.write_bytes(old)
    fetching.served.faults[PATH] = Fault(truncate_at=HALF, etag='"old"')
    with pytest.raises(KilledError):
        fetching.run(sleep=kill)
    site.write_bytes(CONTENT)
    fetching.served.faults[PATH] = Fault(etag='"new"')
    assert fetching.run() == CONTENT
    assert fetching.served.requests[-1].headers["If-Range"] == '"old"'
    assert len(fetching.served.requests) == 2


def test_a_file_that_changed_under_the_same_name_of_version_is_asked_for_anew(fetching) -> None:
    site, etag = fetching.served.folder / "model.gguf", '"never changes"'
    site.write_bytes(bytes(len(CONTENT)))
    fetching.served.faults[PATH] = Fault(truncate_at=HALF, etag=etag)

    def change(_: float) -> None:
        site.write_bytes(CONTENT)
        fetching.served.faults[PATH] = Fault(etag=etag)

    assert fetching.run(sleep=change) == CONTENT
    assert fetching.ranges()[-1] is None


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(whole_range=True), id="206 from the start"),
        pytest.param(Fault(status=416, times=1), id="416"),
    ],
)
def test_a_server_that_gets_ranges_wrong_is_read_from_the_start(fetching, fault) -> None:
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(CONTENT[:HALF])
    fetching.served.faults[PATH] = fault
    assert fetching.run() == CONTENT
    assert fetching.ranges() == [f"bytes={HALF}-", None]


def test_a_stalled_server_is_asked_again(fetching) -> None:
    fetching.served.faults[PATH] = Fault(delay=0.6, times=1)
    assert fetching.run(read=0.2) == CONTENT
    assert len(fetching.waits) == 1


def test_a_redirect_is_followed(fetching) -> None:
    fetching.served.faults["/here"] = Fault(status=302, headers={"Location": PATH})
    assert fetching.run(path="/here") == CONTENT


def test_retry_after_is_obeyed(fetching) -> None:
    fetching.served.faults[PATH] = Fault(status=429, headers={"Retry-After": "3"}, times=1)
    fetching.run()
    assert fetching.waits == [3.0]


def test_waits_double(fetching) -> None:
    fetching.served.faults[PATH] = Fault(status=503)
    with pytest.raises(SourceError, match="answered 503"):
        fetching.run()
    assert fetching.waits == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        pytest.param(Fault(status=404), SourceError, "answered 404", id="404"),
        pytest.param(Fault(status=401), RefusedError, "answered 401", id="401"),
        pytest.param(
            Fault(status=429, headers={"Retry-After": "3600"}), SourceError, "asks to wait 3600 s", id="an hour"
        ),
        pytest.param(Fault(flip_at=HALF), WrongBytesError, "gave other bytes", id="a flipped bit"),
        pytest.param(
            Fault(status=200, headers={"Content-Type": "text/html"}, body=b"<h1>Sorry</h1>"),
            WrongBytesError,
            r"has 14 bytes \(text/html\) instead of 300,000",
            id="an error page with status 200",
        ),
        pytest.param(Fault(headers={"Content-Length": "500000"}), WrongBytesError, "has 500,000 bytes", id="size lie"),
    ],
)
def test_a_lasting_fault_is_told_at_once_and_leaves_nothing(fetching, fault, kind, says) -> None:
    fetching.served.faults[PATH] = fault
    with pytest.raises(kind, match=says):
        fetching.run()
    assert fetching.waits == []
    assert not fetching.part.exists()


def test_a_longer_file_without_a_length_is_cut_short(fetching) -> None:
    (fetching.served.folder / "model.gguf").write_bytes(CONTENT * 3)
    fetching.served.faults[PATH] = Fault(no_length=True)
    with pytest.raises(WrongBytesError, match="gave more than 300,000 bytes"):
        fetching.run()


def test_a_lie_that_spans_two_answers_is_asked_for_once_more_and_then_refused(fetching) -> None:
    (fetching.served.folder / "model.gguf").write_bytes(bytes(len(CONTENT)))
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(CONTENT[:HALF])
    with pytest.raises(WrongBytesError):
        fetching.run()
    assert fetching.ranges() == [f"bytes={HALF}-", None]


@pytest.mark.parametrize(
    ("host", "says"),
    [
        pytest.param("no-such-host.invalid", "can't find the host no-such-host.invalid", id="unknown name"),
        pytest.param("127.0.0.1", "no connection to 127.0.0.1", id="closed port"),
    ],
)
def test_no_network_is_told_at_once(tmp_path, host, says) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://{host}:{closed.getsockname()[1]}/x"
    waits: list[float] = []
    remote = Remote(url=url, size=3, sha256="0" * 64)
    with open_session() as session, pytest.raises(SourceError, match=says):
        download(remote, tmp_path / "x", session=session, meter=Counted(), patience=Patience(sleep=waits.append))
    assert waits == []
