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
from pathlib import Path

import pytest

from nomic_scaffold.errors import HashMismatchError, InputError, UnavailableError
from nomic_scaffold.models.lock import LockedPackage
from tests.support.channel import locked, mirrored, tiny_channel, tiny_packages, write
from tests.support.conda_environment import TINY, Bench, needs_linux, rewrite
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
    "too many requests": Fault(status=429, headers={"Retry-After": "1"}, times=2),
    "wrong bytes and too few of them": Fault(status=200, body=b"<html>log in to the network</html>", times=1),
    "slow": Fault(delay=0.02),
}


@pytest.mark.parametrize("what", PASSING)
def test_a_fault_that_passes_is_waited_for(bench: Bench, channel: Served, what: str) -> None:
    channel.faults[LARGE] = PASSING[what]
    bench.install()
    assert bench.troubles(deep=True) == {}


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
    from dataclasses import replace

    secret = replace(packages[0], url=f"http://bob:password@{channel.url[7:]}/t/token/noarch/x-1-0.conda")
    with pytest.raises(UnavailableError) as caught:
        Bench(tmp_path, (secret, *packages[1:])).install()
    assert "password" not in caught.value.message
    assert "/t/token" not in caught.value.message


# Disks


def mount(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a file system of memory; gives up honestly where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(
            f"this needs a small file system of its own, and mounting is not allowed here: {done.stderr.strip()}"
        )
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
bench = Bench(Path(sys.argv[1]), locked(Path(sys.argv[2]), *sys.argv[3:]))
print("ready", flush=True)
for line in sys.stdin:
    bench.install(bench.packages if line.strip() == "new" else ())
    print("done", flush=True)
"""


@contextlib.contextmanager
def installer(root: Path, *specs: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process that installs on a word; it has imported all that it needs when this gives it."""
    command = [sys.executable, "-c", _RUN, str(root), str(tiny_channel()), *specs]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
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


def go(process: subprocess.Popen[str]) -> float:
    """Install once; gives the seconds that it took."""
    assert process.stdin is not None
    assert process.stdout is not None
    start = time.monotonic()
    process.stdin.write("new\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"
    return time.monotonic() - start


def test_a_run_killed_at_any_moment_is_mended_by_the_next(channel: Served, tmp_path: Path) -> None:
    """50 kills, spread over fetching, unpacking, linking, moving from one lock to another, and noting."""
    moments = random.Random(20261123)
    older, newer = ("tiny-noarch ==1.0", "tiny-data ==1.0"), TINY
    with installer(tmp_path / "timing", *newer) as process:
        whole = go(process)
    bench = Bench(tmp_path / "bench", ())
    finished = 0
    for number in range(50):
        if number % 10 == 0:  # now and then from nothing, else over what the last kill left
            shutil.rmtree(bench.root, ignore_errors=True)
            bench.root.mkdir()
        specs = older if number % 3 == 1 else newer
        with installer(bench.root, *specs) as process:
            assert process.stdin is not None
            process.stdin.write("new\n")
            process.stdin.flush()
            time.sleep(moments.random() * whole)
            process.send_signal(signal.SIGKILL)
            process.wait()
        finished += (bench.prefix / ".nomic-scaffold.json").exists()
        if (bench.prefix / ".nomic-scaffold.json").exists():
            # What calls itself finished is whole, whatever happened since.
            bench.packages = next(
                p
                for p in (locked(tiny_channel(), *older), locked(tiny_channel(), *newer))
                if {x.name: x.version for x in p}
                == {x.name: x.version for x in Bench(bench.root, p).look(deep=False).packages}
            )
            assert bench.troubles(deep=True) == {}
        if number % 5 == 4:
            bench.packages = locked(tiny_channel(), *specs)
            bench.install()
            assert bench.troubles(deep=True) == {}, number
    assert finished < 45, "most kills must have hit a run at work"


def test_control_c_stops_soon_and_the_next_run_goes_on(channel: Served, tmp_path: Path) -> None:
    channel.faults["*"] = Fault(delay=0.5)
    with installer(tmp_path, *TINY) as process:
        assert process.stdin is not None
        process.stdin.write("new\n")
        process.stdin.flush()
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
    assert not (bench.cache / "hostile-1.0-0").exists()
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
    from dataclasses import replace

    libtiny = next(p for p in locked(tiny_channel(), "libtiny") if p.name == "libtiny")
    renamed = replace(libtiny, name="openssl", version="3.0")
    with serve(tiny_channel()) as served:
        for name, value in mirrored(served.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(InputError, match=r"holds libtiny 1\.2\.3"):
            Bench(tmp_path, (renamed,)).install()


def test_an_archive_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib
    from dataclasses import replace

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
