"""`doctor` as people run it: in a fresh project and in none, on networks and machines that lack things."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nomic_scaffold.workflows.doctor import at_once
from tests.support.channel import mirrored
from tests.support.server import serve

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `new --defaults` makes it; not to be changed."""
    root = tmp_path_factory.mktemp("fresh") / "my-project"
    command = [sys.executable, "-m", "nomic_scaffold", "--offline", "new", str(root), "--defaults", "--no-git"]
    subprocess.run(command, check=True, capture_output=True)
    return root


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers: its address."""
    held: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def listen() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
    for connection in held:
        connection.close()


def doctor(root: Path, home: Path, *words: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Run it on a machine whose caches are empty and that reaches nobody; exit code, items by id, all output."""
    environ = {
        **{
            name: value for name, value in os.environ.items() if not name.startswith(("NOMIC_SCAFFOLD_", "PIP_", "UV_"))
        },
        **mirrored(NOWHERE),
        "HF_ENDPOINT": NOWHERE,
        "PIP_INDEX_URL": NOWHERE,
        "PIP_CONFIG_FILE": os.devnull,
        "NOMIC_SCAFFOLD_STORE": str(home / "store"),
        "NOMIC_SCAFFOLD_PKGS": str(home / "pkgs"),
        "DOCKER_HOST": f"unix://{home}/none.sock",
        **variables,
    }
    command = [sys.executable, "-m", "nomic_scaffold", "--format", "json", *words, "doctor"]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    told = json.loads(done.stdout)
    return done.returncode, {item["id"]: item for item in told["items"]}, done.stdout + done.stderr


def lacking(items: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, item in items.items() if item["state"] == "lacking"}


def test_a_fresh_project_on_a_machine_that_reaches_nobody_lacks_packages_and_weights(
    project: Path, tmp_path: Path
) -> None:
    code, items, _ = doctor(project, tmp_path)
    assert lacking(items) == {"packages", "weights"}
    assert code == 6
    for item in items.values():
        assert (item["state"] in ("note", "lacking")) <= bool(item["consequence"] and item["mend"]), item


def test_where_a_channel_and_an_index_answer_nothing_is_lacking(project: Path, tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    (channel / "noarch").mkdir(parents=True)
    (channel / "noarch/repodata.json.zst").write_bytes(b"")
    with serve(channel) as served:
        code, items, _ = doctor(project, tmp_path, **mirrored(served.url), HF_ENDPOINT=served.url)
    assert lacking(items) == set()
    assert items["packages"]["state"] == "note"
    assert code == 0


@pytest.mark.parametrize(("hours", "state", "code"), [(2, "note", 0), (-48, "lacking", 6)])
def test_a_wrong_clock_is_told_by_the_servers(project: Path, tmp_path: Path, hours: int, state: str, code: int) -> None:
    class Late(http.server.BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() + hours * 3600)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        found, items, _ = doctor(project, tmp_path, **mirrored(url), HF_ENDPOINT=url)
        server.shutdown()
    assert items["clock"]["state"] == state, items["clock"]
    assert ("behind" if hours > 0 else "ahead") in items["clock"]["seen"]
    assert found == code


def test_servers_that_never_answer_do_not_keep_it(project: Path, tmp_path: Path, silent: str) -> None:
    url = f"http://{silent}"
    variables = {"HF_ENDPOINT": url, "PIP_INDEX_URL": url, "DOCKER_HOST": f"tcp://{silent}"}
    code, items, _ = doctor(project, tmp_path, **mirrored(url), **variables)
    assert lacking(items) == {"packages", "weights"}
    assert "no answer in" in items["packages"]["seen"]
    assert "no answer in" in items["docker"]["seen"]
    assert code == 6


def test_what_hangs_is_waited_for_once_and_not_one_after_the_other() -> None:
    start = time.monotonic()
    answers = at_once({**dict.fromkeys("abcde", threading.Event().wait), "f": lambda: "here"}, patience=0.4)
    assert time.monotonic() - start < 1.5
    assert answers == {**dict.fromkeys("abcde", "no answer in 0.4 s"), "f": "here"}


def test_offline_asks_nobody_and_says_what_is_not_known(project: Path, tmp_path: Path) -> None:
    code, items, _ = doctor(project, tmp_path, "--offline")
    assert {name for name, item in items.items() if item["state"] == "not looked at"} == {
        "packages",
        "weights",
        "clock",
    }
    assert items["packages"]["mend"] == "nomic-scaffold doctor"
    assert code == 6


def test_without_a_project_it_is_about_making_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, items, _ = doctor(tmp_path / "empty", tmp_path)
    assert lacking(items) == set()
    assert code == 0


def test_a_proxys_login_is_never_shown(project: Path, tmp_path: Path) -> None:
    proxy = "user:at@S3CRET@127.0.0.1:9"
    variables = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), proxy)
    outside = {"HF_ENDPOINT": "http://hub.invalid", "PIP_INDEX_URL": "http://index.invalid", "NO_PROXY": ""}
    code, items, told = doctor(project, tmp_path, **mirrored("http://channel.invalid"), **outside, **variables)
    assert "S3CRET" not in told
    assert "***@127.0.0.1:9" in items["proxies"]["seen"]
    assert items["packages"]["mend"].startswith("mend the proxy, or go without: ")
    assert code == 6


def test_a_disk_that_is_nearly_full_is_named(project: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(small)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        code, items, _ = doctor(project, tmp_path, NOMIC_SCAFFOLD_STORE=str(small / "store"))
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert "disk-model-store" in lacking(items)
    assert items["disk-model-store"]["mend"].endswith('export NOMIC_SCAFFOLD_STORE="/mnt/nomic"')
    assert code == 7


def test_a_dead_socket_is_not_to_be_started_by_systemd(project: Path, tmp_path: Path) -> None:
    _, items, _ = doctor(project, tmp_path, "--offline", DOCKER_HOST=f"unix://{tmp_path}/dead.sock")
    if not shutil.which("docker"):
        pytest.skip("docker is not installed: installing it is the first thing to do")
    assert items["docker"]["mend"].startswith("start the engine that DOCKER_HOST names")
