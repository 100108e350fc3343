"""`nomic-scaffold new` on a terminal, in CI and without a network."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nomic_scaffold.adapters.project import read_spec

ONLINE = [sys.executable, "-m", "nomic_scaffold", "new", "x"]
COMMAND = [*ONLINE[:-2], "--offline", *ONLINE[-2:]]
posix_only = pytest.mark.skipif(os.name == "nt", reason="terminals as POSIX has them")


@pytest.fixture(autouse=True)
def in_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def spy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that writes down who comes, and answers nobody: its address, and the visits."""
    visits: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def listen() -> None:
            while True:
                try:
                    visitor, _ = server.accept()
                except OSError:
                    return
                with visitor:
                    visits.append(visitor.recv(200).decode("latin-1").split("\r\n")[0])

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", visits


def proxies(address: str) -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "all_proxy")
    return {**os.environ, **dict.fromkeys(names, address), **{n.upper(): address for n in names}, "NO_PROXY": ""}


def test_offline_asks_nothing_of_the_network(spy: tuple[str, list[str]], tmp_path: Path) -> None:
    address, visits = spy
    done = subprocess.run(
        [*COMMAND, "--defaults"], env=proxies(address), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert visits == []
    assert (tmp_path / "x/conda-lock.yml").is_file()
    assert (tmp_path / "x/locks/pylock.toml").is_file()


def test_an_index_that_does_not_answer_is_given_up_at_once(spy: tuple[str, list[str]], tmp_path: Path) -> None:
    address, visits = spy
    done = subprocess.run(
        [*ONLINE, "--defaults"], env=proxies(address), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert 0 < len(visits) < 20
    assert "the pip section of environment.yml is not locked yet" in done.stderr
    assert "nomic-scaffold lock\n" in done.stderr
    assert (tmp_path / "x/conda-lock.yml").is_file()
    assert (tmp_path / "x/locks/pylock.toml").is_file()


def test_it_works_in_an_empty_network_namespace(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    inside = [unshare, "--user", "--map-root-user", "--net"] if unshare else []
    if not inside or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system allows no network namespaces of one's own")
    done = subprocess.run([*inside, *ONLINE, "--defaults"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x/conda-lock.yml").is_file()
    assert (tmp_path / "x/locks/pylock.toml").is_file()


def test_nothing_is_asked_in_ci_or_through_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, input="", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert read_spec(tmp_path / "x").package == "x"


@posix_only
def test_a_terminal_is_asked_again_until_the_answer_is_good(tmp_path: Path) -> None:
    typed = ["Meine Suche", "json", "suche", "", "Ada", "mit", "", "linux-64", "cpu", "de, xx", "de en"]
    code, shown = on_a_terminal([*COMMAND, "--no-git", "--python", "3.12"], typed[:6] + typed[7:])
    assert code == 0, shown
    assert "--package 'json' is taken by Python's standard library" in shown
    assert "--language 'xx' is unknown" in shown
    spec = read_spec(tmp_path / "x")
    assert (spec.name, spec.package, spec.python, spec.languages) == ("Meine Suche", "suche", "3.12", ("en", "de"))
    assert [variant.id for variant in spec.variants] == ["linux-64-cpu"]


@posix_only
def test_a_destination_that_cannot_be_is_told_before_the_questions(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    code, shown = on_a_terminal(COMMAND, [])
    assert code == 2
    assert "is a file" in shown
    assert "Name of the project" not in shown


@posix_only
def test_leaving_the_questions_leaves_nothing(tmp_path: Path) -> None:
    code, shown = on_a_terminal(COMMAND, ["Suche", "\x03"])
    assert code == 130, shown
    assert list(tmp_path.iterdir()) == []


@posix_only
@pytest.mark.parametrize(
    ("arguments", "extra"), [(["--defaults"], {}), ([], {"CI": "true"})], ids=["--defaults", "CI=true"]
)
def test_a_terminal_is_not_asked(arguments: list[str], extra: dict[str, str], tmp_path: Path) -> None:
    code, shown = on_a_terminal([*COMMAND, *arguments], [], extra)
    assert code == 0, shown
    assert read_spec(tmp_path / "x").package == "x"


def on_a_terminal(command: list[str], lines: list[str], extra: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command on a terminal of its own, type a line at each question; give its exit code and what it showed."""
    import pty
    import select

    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, {**os.environ, **(extra or {})})
    shown, waiting = b"", list(lines)
    asked, line = 0, ""
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.5 if line == "\x03" else 60)
        if not ready and line == "\x03":
            # A signal between two system calls of Python waits for the next key; people press it again too.
            os.write(terminal, b"\x03")
            continue
        assert ready, f"the command is silent after: {shown.decode()[-500:]}"
        try:
            block = os.read(terminal, 4096)
        except OSError:
            break
        if not block:
            break
        shown += block
        if waiting and shown[asked:].rstrip(b" ").endswith(b"]:"):
            asked = len(shown)
            line = waiting.pop(0)
            os.write(terminal, line.encode() if line == "\x03" else line.encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()
