from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import Fault, Served, serve
from tests.support.weights import make_project, publish

CONTENT = random.Random(5).randbytes(2_000_000)
COMMAND = (sys.executable, "-m", "nomic_scaffold")


@dataclass
class Machine:
    """A user with a project, a hub at hand and an empty store."""

    served: Served
    path: str
    """Of the pinned file on the server."""
    project: Path
    store: Path
    environ: dict[str, str]

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd or self.project,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
        process = self.start(*arguments, cwd=cwd)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return process.returncode, out, err

    @property
    def placed(self) -> Path:
        return self.project / ".nomic-scaffold" / "weights" / "model.gguf"

    @property
    def part(self) -> Path:
        return next((self.store / ".partial").rglob("model.gguf.part"), self.store / "nothing yet")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "site").mkdir()
    path = publish(tmp_path / "site", CONTENT)
    project = make_project(tmp_path / "我的 project", CONTENT)
    store = tmp_path / "仓库 store"
    with serve(tmp_path / "site") as served:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "NOMIC_SCAFFOLD"))}
        environ |= {
            "HOME": str(tmp_path / "home"),
            "HF_ENDPOINT": served.url,
            "NOMIC_SCAFFOLD_STORE": str(store),
            "PYTHONUTF8": "1",
            "CI": "true",
        }
        yield Machine(served, path, project, store, environ)


def test_pull_then_verify_then_list(machine) -> None:
    code, out, err = machine.run("--format", "json", "weights", "pull")
    assert (code, machine.placed.read_bytes() == CONTENT) == (0, True), err
    told = json.loads(out)
    assert (told["source"], told["placed"], told["path"]) == ("Hugging Face", "link", str(machine.placed))

    code, out, _ = machine.run("--format", "json", "weights", "verify")
    assert code == 0
    assert [result["status"] for result in json.loads(out)["results"]] == ["pass"] * 3

    code, out, _ = machine.run("--format", "json", "weights", "list")
    (listed,) = json.loads(out)["files"]
    assert (listed["file"], listed["size"], listed["pinned"]) == ("model.gguf", len(CONTENT), True)

    machine.served.requests.clear()
    code, out, _ = machine.run("--format", "json", "--offline", "weights", "pull")
    assert (code, json.loads(out)["source"], machine.served.requests) == (0, "the store", [])


def test_the_words_for_people_say_the_same(machine) -> None:
    _, out, err = machine.run("weights", "pull")
    assert "linked from the store: " in out
    assert "fetching model.gguf (2 MB) from Hugging Face" in err
    _, out, _ = machine.run("weights", "verify")
    assert [line.split()[:2] for line in out.splitlines()] == [[f"WGT00{n}", "pass"] for n in (1, 2, 3)]
    _, out, _ = machine.run("weights", "list", cwd=machine.store)
    assert out.splitlines()[0] == f"store: {machine.store}"
    assert "2.0 MB" in out


def test_a_missing_file_is_exit_6_and_a_wrong_one_5(machine) -> None:
    code, _, err = machine.run("weights", "verify")
    assert code == 6
    assert "hint:  nomic-scaffold weights pull" in err
    machine.placed.parent.mkdir(parents=True)
    machine.placed.write_bytes(CONTENT[:-1])
    code, out, err = machine.run("weights", "verify")
    assert code == 5
    assert "1,999,999 bytes instead of 2,000,000" in out
    assert "hint:  nomic-scaffold weights pull" in err


def test_a_tampered_file_is_found_and_mended(machine) -> None:
    machine.run("weights", "pull")
    machine.placed.chmod(0o644)
    with machine.placed.open("r+b") as file:  # a hard link: this damages the store's file as well
        file.seek(1000)
        file.write(b"\0\0\0\0")
    assert machine.run("weights", "verify")[0] == 5
    assert machine.run("--offline", "weights", "pull")[0] == 6
    assert machine.run("weights", "pull")[0] == 0
    assert machine.run("weights", "verify")[0] == 0
    assert machine.placed.read_bytes() == CONTENT


def test_a_project_s_own_file_fills_an_empty_store(machine) -> None:
    machine.run("weights", "pull")
    shutil.rmtree(machine.store)
    machine.served.requests.clear()
    code, out, _ = machine.run("--format", "json", "weights", "pull")
    assert (code, json.loads(out)["source"], machine.served.requests) == (0, "the project", [])
    (stored,) = machine.store.rglob("model.gguf")
    assert stored.samefile(machine.placed)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        pytest.param(Fault(flip_at=1000), 5, "Hugging Face: gave other bytes", id="lies"),
        pytest.param(Fault(status=404), 6, "Hugging Face: answered 404 Not Found", id="lacks it"),
    ],
)
def test_a_source_that_fails_is_named(machine, fault, code, says) -> None:
    machine.served.faults["*"] = fault
    result, out, err = machine.run("weights", "pull")
    assert (result, out) == (code, "")
    assert says in err
    assert "nomic-scaffold weights add FILE" in err
    assert not machine.placed.exists()


def test_no_network_is_told_within_seconds(machine) -> None:
    machine.environ["HF_ENDPOINT"] = "http://no-such-host.invalid"
    start = time.monotonic()
    code, _, err = machine.run("weights", "pull")
    assert code == 6
    assert "Hugging Face: can't find the host no-such-host.invalid" in err
    assert time.monotonic() - start < 20


def test_a_killed_download_goes_on(machine) -> None:
    machine.served.faults[machine.path] = Fault(delay=0.03)
    process = machine.start("weights", "pull")
    deadline = time.monotonic() + 30
    while not (machine.part.exists() and machine.part.stat().st_size > 300_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    there = machine.part.stat().st_size
    assert 0 < there < len(CONTENT)
    assert "unfinished download" in machine.run("weights", "list")[1]
    machine.served.faults.clear()
    assert machine.run("weights", "pull")[0] == 0
    assert machine.served.requests[-1].headers["Range"] == f"bytes={there}-"
    assert machine.placed.read_bytes() == CONTENT


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that means Ctrl-C to one process")
def test_an_interrupted_download_says_how_to_go_on(machine) -> None:
    machine.served.faults[machine.path] = Fault(delay=0.1)
    process = machine.start("weights", "pull")
    while not machine.part.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again" in err


def test_two_at_once_fetch_once(machine) -> None:
    machine.served.faults[machine.path] = Fault(delay=0.03)
    other = make_project(machine.project.parent / "another", CONTENT)
    both = [machine.start("weights", "pull"), machine.start("weights", "pull", cwd=other)]
    told = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len(machine.served.requests) == 1
    assert (other / ".nomic-scaffold" / "weights" / "model.gguf").samefile(machine.placed)


def test_add_takes_the_file_from_a_folder(machine, tmp_path) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "下载.gguf").write_bytes(CONTENT)
    code, out, err = machine.run("--offline", "--format", "json", "weights", "add", str(tmp_path / "usb"))
    assert code == 0, err
    assert json.loads(out)["placed"] == "link"
    assert machine.placed.read_bytes() == CONTENT
    assert machine.served.requests == []


def test_add_refuses_what_is_not_pinned(machine, tmp_path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"other")
    code, out, err = machine.run("weights", "add", str(tmp_path / "other.gguf"))
    assert (code, out) == (5, "")
    assert "not the pinned file" in err
    code, _, err = machine.run("weights", "add", str(tmp_path / "other.gguf"), cwd=tmp_path)
    assert code == 5
    assert "not any file that the tool knows" in err


def test_a_pin_with_a_wrong_size_is_told_before_anything_is_fetched(machine) -> None:
    make_project(machine.project)
    spec = machine.project / "scaffold.toml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("274290560", "5"), encoding="utf-8")
    code, _, err = machine.run("weights", "pull")
    assert code == 3
    assert "hint:  write size = 274290560" in err


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_outside_of_a_project_it_says_so(machine, tmp_path, command) -> None:
    assert machine.run("weights", command, cwd=tmp_path)[0] == 3


# --- small and read-only file systems, in a mount namespace of their own


def mount_namespace() -> bool:
    """Say whether this user may mount in a namespace of their own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(
    not mount_namespace(), reason="needs a file system of its own: Linux that allows unshare -rm"
)


def in_namespace(machine: Machine, script: str) -> tuple[int, str]:
    """Run a shell script that may mount; `pull` is the command."""
    pull = 'pull() { "$PYTHON" -m nomic_scaffold weights pull; }'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{pull}\n{script}"],
        cwd=machine.project,
        env={**machine.environ, "PYTHON": sys.executable},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@needs_mount
def test_a_full_disk_is_told_before_the_start(machine) -> None:
    machine.store.mkdir()
    code, err = in_namespace(machine, 'mount -t tmpfs -o size=1m x "$NOMIC_SCAFFOLD_STORE"; pull')
    assert code == 6
    assert f"not enough space in {machine.store}" in err
    assert "2,000,000 bytes needed" in err
    assert machine.served.requests == []


@needs_mount
def test_a_disk_that_fills_up_meanwhile_is_told_and_the_next_run_goes_on(machine) -> None:
    machine.store.mkdir()
    machine.served.faults[machine.path] = Fault(delay=0.02)
    code, err = in_namespace(
        machine,
        """
        mount -t tmpfs -o size=3m x "$NOMIC_SCAFFOLD_STORE"
        (until [ -s "$NOMIC_SCAFFOLD_STORE"/.partial/*/model.gguf.part ]; do sleep 0.01; done
         cat /dev/zero > "$NOMIC_SCAFFOLD_STORE/filler") 2> /dev/null &
        pull && exit 99
        echo "first: $?" >&2
        rm "$NOMIC_SCAFFOLD_STORE/filler"
        pull
        """,
    )
    assert code == 0, err
    assert "first: 6" in err
    assert "free some space and run the same command again" in err
    assert machine.served.requests[-1].headers["Range"].startswith("bytes=")
    assert machine.placed.read_bytes() == CONTENT


@needs_mount
def test_a_read_only_store_is_told(machine) -> None:
    machine.store.mkdir()
    code, err = in_namespace(machine, 'mount -t tmpfs -o ro x "$NOMIC_SCAFFOLD_STORE"; pull')
    assert code == 6
    assert "it is read-only for you" in err
    assert "NOMIC_SCAFFOLD_STORE" in err


@needs_mount
def test_a_read_only_store_that_has_the_file_serves_it(machine) -> None:
    machine.run("weights", "pull")
    machine.placed.unlink()
    bind = 'mount --bind "$NOMIC_SCAFFOLD_STORE" "$NOMIC_SCAFFOLD_STORE"'
    remount = 'mount -o remount,ro,bind "$NOMIC_SCAFFOLD_STORE"'
    code, err = in_namespace(machine, f"{bind} && {remount} && pull")
    assert code == 0, err
    assert machine.placed.read_bytes() == CONTENT
