"""Channels that misbehave, disks that fill up, runs that are killed, packages that attack: nothing wrong gets in."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nomic_scaffold.adapters.conda import finish
from nomic_scaffold.adapters.conda.fetch import Patience
from nomic_scaffold.adapters.conda.signatures import read_digest
from nomic_scaffold.errors import HashMismatchError, InputError, UnavailableError
from nomic_scaffold.models.lock import LockedPackage
from tests.support.channel import locked, mirrored, tiny_channel, tiny_packages, write
from tests.support.conda_environment import IMPATIENT, TINY, Bench, Measured, Said, needs_linux, rewrite
from tests.support.conda_package import PLACEHOLDER, Package
from tests.support.server import Fault, Served, serve

pytestmark = needs_linux
LARGE = "/noarch/tiny-data-2.0-0.conda"


@pytest.fixture
def channel() -> Iterator[Served]:
    with serve(tiny_channel()) as served, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture(scope="module")
def packages() -> tuple[LockedPackage, ...]:
    return locked(tiny_channel(), *TINY)


@pytest.fixture
def bench(packages: tuple[LockedPackage, ...], tmp_path: Path) -> Bench:
    return Bench(tmp_path, packages)


PASSING = {
    "reset in the middle, twice": Fault(reset_at=70_000, times=2),
    "cut short, twice": Fault(truncate_at=70_000, times=2),
    "busy, twice": Fault(status=503, times=2),
    "too many requests, twice": Fault(status=429, times=2),
    "wrong bytes and too few of them": Fault(status=200, body=b"<html>log in to the network</html>", times=1),
    "slow": Fault(delay=0.02),
}


@pytest.mark.parametrize("what", PASSING)
def test_a_fault_that_passes_is_waited_for(bench: Bench, channel: Served, what: str) -> None:
    channel.faults[LARGE] = PASSING[what]
    bench.install()
    assert bench.troubles(deep=True) == {}


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_channel_is_asked_again_when_it_said_so(bench: Bench, channel: Served, status: int) -> None:
    channel.faults[LARGE] = Fault(status=status, headers={"Retry-After": "3"}, times=2)  # a try, and a question
    words = bench.install()
    tries = [request.at for request in channel.requests if (request.path, request.method) == (LARGE, "GET")]
    assert len(tries) == 2
    assert tries[1] - tries[0] >= 3
    assert "the channel is busy and asks to wait; going on in 3 s" in words[0]
    assert bench.troubles(deep=True) == {}


def test_a_channel_that_asks_for_hours_is_not_waited_for_that_long(bench: Bench, channel: Served) -> None:
    channel.faults[LARGE] = Fault(status=429, headers={"Retry-After": "7200"}, times=2)
    words = bench.install(patience=replace(IMPATIENT, longest=0.3))
    assert "going on in 0 s" in words[0]
    assert bench.troubles(deep=True) == {}


@pytest.mark.parametrize("silent", [Fault(delay=2, times=1), Fault(hang=2, times=1)], ids=["then", "from the start"])
def test_a_channel_that_falls_silent_is_asked_again(bench: Bench, channel: Served, silent: Fault) -> None:
    channel.faults[LARGE] = silent
    bench.install(patience=replace(IMPATIENT, stalled=0.4))
    assert [request.path for request in channel.requests].count(LARGE) == 2
    assert bench.troubles(deep=True) == {}


def test_a_channel_that_stays_silent_is_named(bench: Bench, channel: Served) -> None:
    channel.faults[LARGE] = Fault(hang=2)
    with pytest.raises(UnavailableError, match=r"tiny-data-2\.0-0\.conda sent nothing for 0\.2 s"):
        bench.install(patience=Patience(pauses=(0.05,), stalled=0.2))


def test_progress_tells_bytes_and_packages(bench: Bench, channel: Served) -> None:
    """What a broken line had brought is taken back: in the end it adds up."""
    channel.faults[LARGE] = Fault(truncate_at=70_000, times=2)
    said, size = Said(), sum(package.size or 0 for package in bench.packages)
    bench.install(said=said)
    assert said.meters == {
        "fetching 6 packages": Measured(size, "bytes", size),
        "unpacking packages": Measured(6, "packages", 6),
        "linking packages": Measured(6, "packages", 6),
    }
    shutil.rmtree(bench.prefix)
    bench.install(said=(again := Said()))
    assert again.meters == {
        "unpacking packages": Measured(0, "packages", 0),
        "linking packages": Measured(6, "packages", 6),
    }


def test_what_killed_runs_left_in_the_cache_is_removed(bench: Bench, channel: Served) -> None:
    bench.install()
    archive = next(bench.cache.glob("archives/*/tiny-data-*"))
    archive.unlink()
    (archive.parent / ".fetching-old").write_bytes(b"half")
    left = bench.cached("tiny-data").parent / ".unpacking-old"
    (left / "new").mkdir(parents=True)
    (bench.cached("libtiny").parent / ".unpacking-whole").mkdir()  # killed between the last rename and the cleaning
    shutil.rmtree(bench.cached("tiny-data"))
    shutil.rmtree(bench.prefix)
    bench.install()
    assert not list(bench.cache.rglob(".*ing-*"))
    assert bench.troubles(deep=True) == {}


def test_packages_of_one_name_from_two_channels_lie_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, benches = [], []
    for number in (1, 2):
        package = Package("same", "1", "0")
        package.add("share/same.txt", f"of channel {number}\n".encode())
        made = write(tmp_path / f"channel {number}", [package])
        places.append(made)
        benches.append(Bench(tmp_path, locked(made, "same")))
    for _ in range(2):
        for number, bench in enumerate(benches, 1):
            prefix = tmp_path / f"env {number}"
            with serve(places[number - 1]) as served:
                for name, value in mirrored(served.url).items():
                    monkeypatch.setenv(name, value)
                bench.install(prefix=prefix)
            shared = next(
                p
                for p in bench.cache.glob("unpacked/*/same-1-0/share/same.txt")
                if p.samefile(prefix / "share/same.txt")
            )
            assert shared.read_text() == f"of channel {number}\n"
    assert [bench.look(deep=True, prefix=tmp_path / f"env {n}").findings for n, bench in enumerate(benches, 1)] == [
        (),
        (),
    ]


def test_a_redirect_is_followed(bench: Bench, channel: Served) -> None:
    channel.faults[LARGE] = Fault(status=302, headers={"Location": f"{channel.url}{LARGE}?again"}, times=1)
    bench.install()
    assert bench.troubles(deep=True) == {}


LASTING = {
    "wrong bytes": (Fault(flip_at=100_000), HashMismatchError, "is not what the lock pins"),
    "gone": (Fault(status=404), UnavailableError, "404"),
    "a login": (Fault(status=401), UnavailableError, "401"),
    "never whole": (Fault(truncate_at=70_000), UnavailableError, "can't fetch"),
    "always reset": (Fault(reset_at=70_000), UnavailableError, "can't fetch"),
    "always another page": (Fault(status=200, body=b"<html>log in</html>"), HashMismatchError, "19 bytes"),
}


@pytest.mark.parametrize("what", LASTING)
def test_a_fault_that_lasts_is_named_and_nothing_is_installed(bench: Bench, channel: Served, what: str) -> None:
    fault, error, words = LASTING[what]
    channel.faults[LARGE] = fault
    with pytest.raises(error, match=words) as caught:
        bench.install()
    assert "tiny-data-2.0-0.conda" in str(caught.value)
    assert caught.value.hint  # type: ignore[attr-defined]
    assert not (bench.prefix / "conda-meta").exists()
    assert not list((bench.cache / "archives").glob("*/.fetching-*"))
    channel.faults.clear()
    bench.install()
    assert bench.troubles(deep=True) == {}


def test_other_bytes_are_asked_for_once(bench: Bench, channel: Served) -> None:
    """Of the right length and wrong: to ask again would change nothing."""
    channel.faults[LARGE] = Fault(flip_at=100_000)
    with pytest.raises(HashMismatchError):
        bench.install()
    assert [request.path for request in channel.requests].count(LARGE) == 1


def test_no_server_at_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in mirrored("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnavailableError, match=r"can't fetch https://conda\.anaconda\.org/conda-forge/"):
        bench.install()


def test_secrets_in_addresses_are_not_told(
    packages: tuple[LockedPackage, ...], tmp_path: Path, channel: Served
) -> None:
    secret = replace(packages[0], url=f"http://bob:password@{channel.url[7:]}/t/token/noarch/x-1-0.conda")
    with pytest.raises(UnavailableError) as caught:
        Bench(tmp_path, (secret, *packages[1:])).install()
    assert "password" not in caught.value.message
    assert "/t/token" not in caught.value.message


# Disks


NO_MOUNT = "NOMIC_SCAFFOLD_TEST_NO_MOUNT"


def mount(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a file system of memory; gives up honestly where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        why = f"this needs a small file system of its own, and mounting is not allowed here: {done.stderr.strip()}"
        if os.geteuid() == 0 and not os.environ.get(NO_MOUNT):
            pytest.fail(f"{why}; root may usually mount: set {NO_MOUNT}=1 where it may not, and the test is skipped")
        pytest.skip(why)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mount(tmp_path / "small", "-o", "size=3m")


@pytest.mark.parametrize("full", ["the prefix", "the cache"])
def test_a_full_disk_is_told_and_room_mends_it(
    packages: tuple[LockedPackage, ...], tmp_path: Path, channel: Served, small_disk: Path, full: str
) -> None:
    bench = Bench(tmp_path / "bench", packages)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 << 20))
    bench.root.mkdir()
    link = bench.prefix if full == "the prefix" else bench.cache
    link.symlink_to(small_disk / "here")
    (small_disk / "here").mkdir()
    with pytest.raises(UnavailableError) as caught:
        bench.install()
    assert "o space left" in caught.value.message or "os error 28" in caught.value.message
    assert not list(bench.prefix.glob(".nomic-scaffold.json"))
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    ballast.unlink()
    bench.install()
    assert bench.troubles(deep=True) == {}


def test_a_prefix_that_can_not_be_written(bench: Bench, channel: Served, tmp_path: Path) -> None:
    bench.install()
    for folder in mount(tmp_path / "read only"):
        bench.install(prefix=folder / "env")
        (folder / "env/share/tiny/3/003.bin").unlink()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with pytest.raises(UnavailableError, match=r"[Rr]ead-only file system"):
            bench.install(prefix=folder / "env")
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        bench.install(prefix=folder / "env")
        assert bench.look(deep=True, prefix=folder / "env").findings == ()


# Kills

_RUN = """
import sys
from pathlib import Path
from tests.support.channel import locked
from tests.support.conda_environment import Bench
channel, older = Path(sys.argv[2]), ("tiny-noarch ==1.0", "tiny-data ==1.0")
bench = Bench(Path(sys.argv[1]), locked(channel, *sys.argv[4:]))
locks = {"newer": bench.packages, "older": locked(channel, *older)}
print("ready", flush=True)
for line in sys.stdin:
    lock, _, how = line.strip().partition(" ")
    bench.install(locks[lock], fresh=how == "fresh", prefix=Path(sys.argv[3]))
    print("done", flush=True)
"""
OLDER = ("tiny-noarch ==1.0", "tiny-data ==1.0")


@contextlib.contextmanager
def installer(root: Path, prefix: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a process that installs on a word; it has imported all that it needs when this gives it."""
    command = [sys.executable, "-c", _RUN, str(root), str(tiny_channel()), str(prefix or root / "env"), *TINY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def begin(process: subprocess.Popen[str], word: str) -> None:
    """Have an installer start: `newer` or `older`, and perhaps ` fresh`."""
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def is_done(process: subprocess.Popen[str]) -> bool:
    """Wait until an installer is done or dead."""
    assert process.stdout is not None
    return process.stdout.readline() == "done\n"


def prepare(bench: Bench, start: str) -> None:
    """Bring about what a run finds: `from nothing`, `no cache`, or an environment and a cache."""
    if start == "from nothing":
        shutil.rmtree(bench.root, ignore_errors=True)
        bench.root.mkdir(exist_ok=True)
    elif start == "no cache":
        shutil.rmtree(bench.cache, ignore_errors=True)


STARTS = {"from nothing": "", "no cache": "", "another lock": "", "anew": " fresh"}
"""What a run that will be killed finds -> how it is told to install."""


def test_a_run_killed_at_any_moment_is_mended_by_the_next(channel: Served, tmp_path: Path) -> None:
    """50 kills, spread over fetching, unpacking, linking, moving from one lock to another, emptying, and noting."""
    moments, killed = random.Random(20261123), 0
    locks = {"newer": locked(tiny_channel(), *TINY), "older": locked(tiny_channel(), *OLDER)}
    bench = Bench(tmp_path / "bench", ())
    seconds: dict[str, float] = {}
    with installer(bench.root) as process:
        for number, (start, how) in enumerate(STARTS.items()):
            prepare(bench, start)
            began = time.monotonic()
            begin(process, ("newer", "older")[number % 2] + how)
            assert is_done(process)
            seconds[start] = time.monotonic() - began
    for number in range(150):
        if killed == 50:
            break
        start, lock = list(STARTS)[number % 4], ("newer", "older")[number % 2]
        with installer(bench.root) as process:
            prepare(bench, start)
            begin(process, lock + STARTS[start])
            time.sleep(moments.random() * seconds[start])
            process.send_signal(signal.SIGKILL)
            at_work = not is_done(process)
        killed += at_work
        if not at_work:  # the machine was quicker than when it was timed
            seconds[start] *= 0.8
        if digest := read_digest(bench.prefix):  # what calls itself finished is whole, whatever happened since
            bench.packages = next(p for p in locks.values() if bench.wanted(p).digest == digest)
            assert bench.look(deep=True, fetch_missing=True).findings == (), (number, start)
        bench.packages = locks[lock]
        bench.install()
        assert bench.troubles(deep=True) == {}, (number, start)
        assert not list(bench.cache.rglob(".*ing-*")), (number, start)
    assert killed == 50, "so many kills must have hit a run at work"


@pytest.mark.usefixtures("channel")
def test_an_environment_calls_itself_finished_after_all_else_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, text: str) -> None:
        path.with_name(f".{path.name}.abcdefgh.tmp").write_text(text)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(finish, "write_text", killed)
        with pytest.raises(SystemExit):
            bench.install()
    assert [path.name for path in bench.prefix.glob(".*.tmp")]
    assert read_digest(bench.prefix) is None
    bench.install()
    assert bench.look(deep=True).findings == ()


def test_a_killed_run_leaves_an_environment_of_another_tool_to_its_people(channel: Served, tmp_path: Path) -> None:
    moments, bench = random.Random(4), Bench(tmp_path, locked(tiny_channel(), *TINY))
    bench.install()
    for number in range(8):
        for name in (".nomic-scaffold.json", "conda-meta/nomic-scaffold.files"):
            (bench.prefix / name).unlink(missing_ok=True)
        (bench.prefix / "share/notes.txt").write_text("mine")
        with installer(tmp_path) as process:
            begin(process, ("older", "newer")[number % 2])
            time.sleep(moments.random() * 0.5)
            process.send_signal(signal.SIGKILL)
            process.wait()
        bench.install()
        assert (bench.prefix / "share/notes.txt").read_text() == "mine"
        assert bench.findings(deep=True) == {"share/notes.txt": "foreign"}


@pytest.mark.parametrize("prefixes", [("env", "env"), ("env", "other")], ids=["one prefix", "two prefixes"])
def test_two_processes_at_once_share_the_work(channel: Served, tmp_path: Path, prefixes: tuple[str, str]) -> None:
    """Both from nothing: neither takes what the other has half done, and each archive is fetched once."""
    places = [tmp_path / name for name in prefixes]
    with installer(tmp_path, places[0]) as first, installer(tmp_path, places[1]) as second:
        for process in (first, second):
            begin(process, "newer")
        for process in (first, second):
            assert is_done(process)
    bench = Bench(tmp_path, locked(tiny_channel(), *TINY))
    for place in places:
        assert bench.look(deep=True, prefix=place).findings == ()
    assert sorted(r.path for r in channel.requests) == sorted("/" + p.url.split("/", 4)[4] for p in bench.packages)


def test_control_c_stops_soon_and_the_next_run_goes_on(channel: Served, tmp_path: Path) -> None:
    channel.faults["*"] = Fault(delay=0.5)
    with installer(tmp_path) as process:
        begin(process, "newer")
        time.sleep(0.7)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - start < 10
    assert "KeyboardInterrupt" in err
    channel.faults.clear()
    bench = Bench(tmp_path, locked(tiny_channel(), *TINY))
    bench.install()
    assert bench.troubles(deep=True) == {}


# Packages that attack


def member(name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b"evil" if kind == tarfile.REGTYPE else b""


def content(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def decoy(package: Package, name: str, real: object, shown: object) -> None:
    """Put `real` where installers read it, and `shown` where a careless look takes it for the same."""
    package.info[f"info/{name}"] = json.dumps(real).encode()
    package.raw_info.append(content(name, json.dumps(shown).encode()))


def hostile(change: Callable[[Package], object]) -> Package:
    package = Package("hostile", "1.0", "0", "noarch", noarch="python", depends=["python"])
    package.add("site-packages/hostile.py", b"x = 1\n")
    change(package)
    return package


ATTACKS: dict[str, Callable[[Package], object]] = {
    "a parent": lambda p: p.raw_members.append(member("../../evil")),
    "an absolute name": lambda p: p.raw_members.append(member("/tmp/nomic-scaffold-evil")),
    "a link to outside": lambda p: p.links.update({"site-packages/out": "../../../../../../evil"}),
    "an absolute link": lambda p: p.links.update({"site-packages/out": "/etc/passwd"}),
    "a link out, and a file through it": lambda p: p.raw_members.extend(
        [member("out", kind=tarfile.SYMTYPE, target="../.."), member("out/evil")]
    ),
    "a hard link to outside": lambda p: p.raw_members.append(
        member("h", kind=tarfile.LNKTYPE, target="../../../secret")
    ),
    "a device": lambda p: p.raw_members.append(member("dev", kind=tarfile.CHRTYPE)),
    "a listed path outside": lambda p: p.add("../../../evil", b"evil"),
    "a path outside after mapping": lambda p: p.add("site-packages/../../../../evil", b"evil"),
    "a program outside": lambda p: p.entry_points.append("../../../evil = hostile:main"),
    "a list of files beside a decoy": lambda p: decoy(
        p,
        "paths.json",
        {"paths": [{"_path": "../../../evil", "path_type": "hardlink", "sha256": "0" * 64, "size_in_bytes": 6}]},
        {"paths": []},
    ),
    "a list of programs beside a decoy": lambda p: decoy(
        p, "link.json", {"noarch": {"entry_points": ["../../../evil = hostile:main"]}}, {"noarch": {}}
    ),
    "a list of files twice": lambda p: p.raw_info.append(content("info/paths.json", b'{"paths": []}')),
    "a list of files among the files": lambda p: p.raw_members.append(content("info/./paths.json", b'{"paths": []}')),
    "a list of files in upper case": lambda p: p.raw_members.append(content("INFO/paths.json", b'{"paths": []}')),
    "a link that a folder of its name hides": lambda p: p.raw_members.extend(
        [
            member("out", kind=tarfile.SYMTYPE, target="../../.."),
            member("out/evil"),
            member("out", kind=tarfile.DIRTYPE),
        ]
    ),
    "a file through a link inside": lambda p: p.raw_members.extend(
        [member("in", kind=tarfile.SYMTYPE, target="site-packages"), member("in/evil")]
    ),
    "a link through a link": lambda p: p.links.update({"d1/d2/c": "../..", "d1/d2/c/out": "../../.."}),
    "a link that turns round behind a link": lambda p: p.links.update({"a/b/up": "..", "a/out": "b/up/../../../evil"}),
    "a hard link to a link": lambda p: p.raw_members.extend(
        [
            member("a/b/l", kind=tarfile.SYMTYPE, target="../../x"),
            member("out", kind=tarfile.LNKTYPE, target="a/b/l"),
        ]
    ),
    "code in a program": lambda p: p.entry_points.append("run = hostile:main(); import os"),
}


@pytest.mark.parametrize("extension", [".conda", ".tar.bz2"])
@pytest.mark.parametrize("what", ATTACKS)
def test_a_package_that_reaches_outside_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, extension: str
) -> None:
    package = hostile(ATTACKS[what])
    package.extension = extension  # type: ignore[assignment]
    made = write(tmp_path / "channel", [*tiny_packages(), package])
    playground = tmp_path / "playground"
    (playground / "a" / "b").mkdir(parents=True)
    bench = Bench(playground / "a" / "b", locked(made, "hostile"))
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match="is refused"):
            bench.install()
    assert not (bench.prefix / "conda-meta").exists()
    assert not list(bench.cache.glob("unpacked/*/hostile-*"))
    assert not list(playground.rglob("*evil*"))
    assert not Path("/tmp/nomic-scaffold-evil").exists()
    assert sorted(path.name for path in playground.iterdir()) == ["a"]


def test_links_of_two_packages_that_lead_outside_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Package("first", "1", "0"), Package("second", "1", "0", depends=["first"])
    first.links["share/up/there"] = "../.."
    second.links["share/out"] = "up/there/../.."
    made = write(tmp_path / "channel", [first, second])
    bench = Bench(tmp_path / "bench", locked(made, "second"))
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match="the package second is refused: its link 'share/out' leads to"):
            bench.install()
    assert not bench.prefix.exists()


def test_folders_in_an_archive_are_no_reason_to_refuse_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Package("folders", "1", "0")
    package.add("share/a/b.txt", b"b\n")
    package.raw_members += [member(name, kind=tarfile.DIRTYPE) for name in ("./", "share", "./share/a/")]
    package.raw_info += [member(name, kind=tarfile.DIRTYPE) for name in ("./", "info/")]
    made = write(tmp_path / "channel", [package])
    bench = Bench(tmp_path / "bench", locked(made, "folders"))
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench.install()
    assert bench.troubles(deep=True) == {}


def test_a_package_from_before_paths_json_is_installed_and_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Package("elder", "1", "0", extension=".tar.bz2", lists="files")
    package.add("share/elder.txt", f"at {PLACEHOLDER}\n".encode(), 0o644, "text")
    package.add("share/plain.txt", b"plain\n")
    package.links["share/link.txt"] = "plain.txt"
    made = write(tmp_path / "channel", [package])
    bench = Bench(tmp_path / "bench", locked(made, "elder"))
    with serve(made) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        bench.install()
    assert bench.troubles(deep=True) == bench.troubles(deep=False) == {}
    assert (bench.prefix / "share/elder.txt").read_text() == f"at {bench.prefix}\n"
    rewrite(bench.prefix / "share/plain.txt", lambda data: data.upper())
    assert bench.findings(deep=True) == {"share/plain.txt": "changed"}


def test_a_package_under_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock's record says one package, the archive of that sha256 holds another."""
    libtiny = next(p for p in locked(tiny_channel(), "libtiny") if p.name == "libtiny")
    renamed = replace(libtiny, name="openssl", version="3.0")
    with serve(tiny_channel()) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=r"holds libtiny 1\.2\.3"):
            Bench(tmp_path, (renamed,)).install()


def test_an_archive_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    (tmp_path / "channel/noarch").mkdir(parents=True)
    data = io.BytesIO(b"PK\3\4 not a zip").getvalue()
    (tmp_path / "channel/noarch/x-1-0.conda").write_bytes(data)
    libtiny = locked(tiny_channel(), "libtiny")[0]
    fake = replace(
        libtiny,
        url="https://conda.anaconda.org/conda-forge/noarch/x-1-0.conda",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
    )
    with serve(tmp_path / "channel") as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=r"x-1-0\.conda can't be read"):
            Bench(tmp_path, (fake,)).install()
