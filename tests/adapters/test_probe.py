"""The probe: what it sees of a project's embed(), that nothing leaves the machine, and every way it can die."""

from __future__ import annotations

import base64
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nomic_scaffold.adapters.probe import run_probe
from nomic_scaffold.checks.cases import vectors_digest
from nomic_scaffold.models.evidence import CaseFailure, EmbeddingsEvidence, Matrix, PrivacyEvidence, Unavailable
from nomic_scaffold.models.probe import ANY_RUNTIME, GoldenText, LanguageTexts, Pair, Passage, ProbeTexts, RuntimeChoice
from nomic_scaffold.models.progress import Silent
from tests.support.projects import prefix_of, spec_of
from tests.support.weights import make_project

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

EMBEDDING = """
import ctypes, os, signal, socket, subprocess, sys, time, urllib.request
import numpy as np

class Runtime:
    name, engine, device, dtype = "nomic", "nomic", "cpu", "float32"

def open_runtime(**options):
    {at_load}
    return Runtime()

def embed(texts, *, task="search_document", dimension=768, unknown="warn"):
    if isinstance(texts, str):
        raise TypeError("a list, please")
    {at_embed}
    return np.array([np.full(dimension, len(text)) for text in texts], np.float32).reshape(-1, dimension)

def count_tokens(texts, *, task):
    return [len(task) + len(text) for text in texts]

def unknown_share(sentences):
    return len(sentences) / 10
"""
TEXTS = ProbeTexts(
    golden=(
        GoldenText(id="one", text="a", task="search_document"),
        GoldenText(id="two", text="bb", task="search_document"),
        GoldenText(id="long", text="c" * 1001, task="search_document"),
        *(GoldenText(id=f"of {n}", text="e" * n, task="search_document") for n in (3, 4, 5, 6)),
        GoldenText(id="query", text="dddd", task="search_query"),
    ),
    languages=(
        LanguageTexts(
            code="en",
            name="English",
            sentences=("a", "b"),
            pairs=(Pair(id="p", a="a", b="bb"),),
            passages=(Passage(id="q", question="a?", passage="bbb"),),
        ),
        LanguageTexts(code="th", name="Thai", sentences=("a",), pairs=(Pair(id="p", a="a", b="bb"),)),
    ),
)
Seen = tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]
Probe = Callable[..., Seen]


@pytest.fixture
def probe(tmp_path: Path, numpy_environment: Path) -> Probe:
    """Run the probe on a project whose embed() does something first."""

    def run(
        *,
        at_embed: str = "pass",
        at_load: str = "pass",
        timeout: float = 60,
        python: Path | None = None,
        on: RuntimeChoice = ANY_RUNTIME,
    ) -> Seen:
        root = make_project(tmp_path / "a project, 项目", b"GGUF")
        package = root / "src" / "pinned"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "embedding.py").write_text(EMBEDDING.format(at_load=at_load, at_embed=at_embed), encoding="utf-8")
        prefix = prefix_of(python or numpy_environment)
        return run_probe(prefix, root=root, spec=spec_of(root), texts=TEXTS, timeout=timeout, on=on)

    return run


def embeddings(seen: Seen) -> EmbeddingsEvidence:
    assert isinstance(seen[0], EmbeddingsEvidence), seen[0]
    return seen[0]


def privacy(seen: Seen) -> PrivacyEvidence:
    assert isinstance(seen[1], PrivacyEvidence), seen[1]
    return seen[1]


def reason(seen: Seen) -> str:
    assert isinstance(seen[0], Unavailable), seen[0]
    assert isinstance(seen[1], Unavailable), seen[1]
    assert seen[0].unavailable in seen[1].unavailable
    return seen[0].unavailable


def values(matrix: Matrix | CaseFailure) -> list[float]:
    """The first component of each row."""
    assert isinstance(matrix, Matrix), matrix
    return [struct.unpack("<f", base64.b64decode(row)[:4])[0] for row in matrix.rows]


def test_every_case_is_asked_for_and_answered(probe: Probe) -> None:
    found = embeddings(probe())
    cases = found.cases
    assert (found.runtime, found.engine, found.device, found.dtype) == ("nomic", "nomic", "cpu", "float32")
    assert found.versions["numpy"] == "2.4.6"
    assert found.unknown_share == {"en": 0.2, "th": 0.1}
    assert values(cases["golden:search_document"]) == [1, 2, 1001, 3, 4, 5, 6]
    assert values(cases["again:search_document"]) == values(cases["shuffled:search_document"]) == [1, 6]
    assert values(cases["golden:search_query"]) == values(cases["single:query"]) == [4]
    assert cases["dimension:256"].shape == (2, 256)  # type: ignore[union-attr]
    assert values(cases["pairs:en"]) == [1, 2]
    assert (values(cases["questions:en"]), values(cases["passages:en"])) == ([2], [3])
    assert cases["none"] == Matrix(shape=(0, 768), dtype="float32", rows=())
    assert cases["refuse:one-string"] == CaseFailure(error="TypeError", message="a list, please")
    assert isinstance(cases["refuse:special-token"], Matrix)
    golden = cases["golden:search_document"]
    assert isinstance(golden, Matrix)
    assert golden.tokens == (16, 17, 1016, 18, 19, 20, 21)
    assert (found.operators, found.same_bits, found.why) == ("", False, "")
    assert found.vectors_sha256 == vectors_digest(found)
    assert not {"single:long", "single:two", "pairs:th", "threads:search_query", "reference:search_query"}.intersection(
        cases
    )


def test_a_project_that_counts_no_tokens_and_tells_what_its_runtime_promises(probe: Probe) -> None:
    told = (
        "globals().pop('count_tokens', None); Runtime.operators, Runtime.same_bits, Runtime.why = 'plain', True, 'so'"
    )
    found = embeddings(probe(at_load=told))
    golden = found.cases["golden:search_document"]
    assert isinstance(golden, Matrix)
    assert golden.tokens == ()
    assert (found.operators, found.same_bits, found.why) == ("plain", True, "so")


def test_what_the_model_runs_on_is_asked_of_the_project(probe: Probe) -> None:
    asked = RuntimeChoice(runtime="torch", device="cuda:1", dtype="tf32", engine="exact")
    seen = probe(at_load="raise RuntimeError(str(sorted(options.items())))", on=asked)
    assert "('device', 'cuda:1'), ('dtype', 'tf32'), ('engine', 'exact'), ('runtime', 'torch')" in reason(seen)


def test_shuffled_texts_are_embedded_in_another_order_and_put_back(probe: Probe) -> None:
    by_place = "return np.arange(len(texts), dtype=np.float32)[:, None] * np.ones((1, 768), np.float32)"
    cases = embeddings(probe(at_embed=by_place)).cases
    assert values(cases["again:search_document"]) == [0, 1]
    assert values(cases["shuffled:search_document"]) == [1, 0]


def test_nothing_tried_is_no_attempt(probe: Probe) -> None:
    assert privacy(probe()).attempts == ()


def test_what_is_printed_does_not_spoil_the_answer(probe: Probe) -> None:
    noise = "print('garbage'); sys.__stdout__.write('more'); os.write(1, b'from C'); sys.stderr.write('x' * 3_000_000)"
    assert "golden:search_query" in embeddings(probe(at_embed=noise)).cases


def test_warnings_of_a_case_are_kept(probe: Probe) -> None:
    found = embeddings(probe(at_embed="import warnings; warnings.warn('unreadable', UserWarning)"))
    assert found.cases["golden:search_query"].warnings == ("UserWarning: unreadable",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("result", "shape", "dtype"),
    [
        ("np.ones((len(texts), 5))", (1, 5), "float64"),
        ("np.ones(7, np.float32)", (7,), "float32"),
        ("[[1.0]]", (), "list"),
        ("None", (), "NoneType"),
    ],
)
def test_an_odd_result_is_told_as_it_is(probe: Probe, result: str, shape: tuple[int, ...], dtype: str) -> None:
    case = embeddings(probe(at_embed=f"return {result}")).cases["golden:search_query"]
    assert isinstance(case, Matrix)
    assert (case.shape, case.dtype) == (shape, dtype)


def test_values_that_are_not_finite_keep_their_bits(probe: Probe) -> None:
    case = embeddings(probe(at_embed="return np.full((len(texts), 3), np.nan, np.float32)")).cases["single:query"]
    assert str(values(case)) == "[nan]"


# How it dies.


@pytest.mark.parametrize(
    ("death", "words"),
    [
        pytest.param("os._exit(3)", "ended with exit code 3", id="exit"),
        pytest.param("sys.exit(4)", "ended with exit code 4", id="sys.exit"),
        pytest.param("sys.stderr.write('the library said\\n'); os._exit(3)", "the library said", id="stderr is told"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL.*memory", marks=POSIX, id="killed"),
        pytest.param("ctypes.string_at(0)", "killed by SIGSEGV", marks=POSIX, id="segmentation fault"),
        pytest.param("os.closerange(3, 99); os._exit(0)", "printed b'', not an answer", id="no answer"),
    ],
)
def test_a_probe_that_dies_is_unavailable_with_the_reason(probe: Probe, death: str, words: str) -> None:
    assert re.search(words, reason(probe(at_embed=death)))


def test_a_probe_that_takes_too_long_is_unavailable(probe: Probe) -> None:
    assert "was not done after 3 seconds" in reason(probe(at_embed="time.sleep(99)", timeout=3))


def test_an_answer_that_is_not_as_agreed_is_unavailable(probe: Probe) -> None:
    assert "not as agreed" in reason(probe(at_load="Runtime.name = 7"))


def test_code_that_cannot_be_loaded_is_unavailable_with_its_own_words(probe: Probe) -> None:
    told = reason(probe(at_load="raise RuntimeError('model.gguf is missing; run: nomic-scaffold weights pull')"))
    assert "RuntimeError: model.gguf is missing; run: nomic-scaffold weights pull" in told


def test_a_python_that_is_not_there_is_unavailable(probe: Probe, tmp_path: Path) -> None:
    assert "could not be started" in reason(probe(python=tmp_path / "bin" / "python"))


def test_an_embed_that_raises_is_a_failure_of_that_case(probe: Probe) -> None:
    cases = embeddings(probe(at_embed="raise ValueError('broken')")).cases
    assert cases["golden:search_query"] == CaseFailure(error="ValueError", message="broken")


@POSIX
def test_what_the_probe_started_ends_with_it(probe: Probe, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = f"open({str(note)!r}, 'w').write(str(subprocess.Popen(['sleep', '99']).pid)); time.sleep(99)"
    began = time.monotonic()
    assert "not done" in reason(probe(at_embed=start, timeout=4))
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):  # a zombie would still be found, until init reaps it
        _wait_until_gone(int(note.read_text()))


def _wait_until_gone(pid: int) -> None:
    for _ in range(100):
        os.kill(pid, 0)
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            raise ProcessLookupError
        time.sleep(0.05)


# What leaves the machine.


@contextmanager
def listener() -> Iterator[tuple[int, list[object]]]:
    """A server that notes who connects."""
    met: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                met.append(address)
                connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1], met
        finally:
            stop.set()
            thread.join()


CALLS = {
    "connect": ("socket.create_connection(('127.0.0.1', {port}))", "socket."),
    "connect_ex": ("socket.socket().connect_ex(('127.0.0.1', {port}))", "socket.connect"),
    "request": ("urllib.request.urlopen('http://127.0.0.1:{port}/')", "socket."),
    "hosted": ("urllib.request.urlopen('https://api.example.org/v1', os.environ['NOMIC_API_KEY'].encode())", "socket."),
    "name": ("socket.getaddrinfo('example.org', 443)", "socket.getaddrinfo"),
    "old name": ("socket.gethostbyname('example.org')", "socket.gethostbyname"),
    "datagram": (
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
        "socket.sendto",
    ),
    "program": ("subprocess.run(['curl', 'http://127.0.0.1:{port}/'])", "subprocess.Popen"),
    "shell": ("os.system('curl http://127.0.0.1:{port}/')", "os.system"),
    "shell=True": ("subprocess.run('cd / && X=1 curl http://127.0.0.1:{port}/', shell=True)", "subprocess.Popen"),
    "shell -c": ("subprocess.run(['bash', '-ec', 'sh -c \"curl 127.0.0.1:{port}\"'])", "subprocess.Popen"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_goes_out_is_blocked_and_counted(probe: Probe, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_PROBE_NAMESPACE", "0")  # which would hold it in as well
    code, event = CALLS[call]
    with listener() as (port, met):
        hidden = f"try: {code.format(port=port)}\nexcept OSError: pass"  # what is swallowed counts as well
        attempts = privacy(probe(at_embed=f"exec({hidden!r})")).attempts
    assert attempts
    assert attempts[0].call.startswith(event)
    assert met == []


FORKS = {
    "fork": "pid = os.fork()\nif not pid:\n    try: {try_it}\n    finally: os._exit(0)\nos.waitpid(pid, 0)",
    "multiprocessing": "import multiprocessing as m\np = m.get_context('fork').Process(target=lambda: {try_it})\n"
    "p.start(); p.join()",
}


@POSIX
@pytest.mark.parametrize("fork", FORKS)
def test_an_attempt_of_a_forked_process_is_blocked_and_counted(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, fork: str
) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_PROBE_NAMESPACE", "0")
    with listener() as (port, met):
        code = FORKS[fork].format(try_it=f"socket.socket().connect_ex(('127.0.0.1', {port}))")
        attempts = privacy(probe(at_load=f"exec({code!r}, globals())")).attempts
    assert [attempt.call for attempt in attempts] == ["socket.connect"]
    assert met == []


@POSIX
def test_more_attempts_of_children_than_a_pipe_holds_are_still_attempts(probe: Probe) -> None:
    tries = "for n in range(2000):\n        try: socket.getaddrinfo('example.org', n)\n        except OSError: pass"
    code = f"pid = os.fork()\nif not pid:\n    {tries}\n    os._exit(0)\nos.waitpid(pid, 0)"
    assert len(privacy(probe(at_load=f"exec({code!r}, globals())")).attempts) > 100


STARTS = {
    "subprocess": ("subprocess.run([sys.executable, '-c', ''])", "python"),
    "shell": ("subprocess.run('true | cat', shell=True)", "cat"),
    "spawn": ("m.get_context('spawn').Process(target=print).start()", "python"),
}


@POSIX
@pytest.mark.parametrize("start", STARTS)
def test_a_program_that_is_started_is_named(probe: Probe, start: str) -> None:
    code, name = STARTS[start]
    seen = privacy(probe(at_load=f"exec({'import multiprocessing as m; ' + code!r}, globals())"))
    assert seen.attempts == ()
    assert any(program.startswith(name) for program in seen.started)


def test_nothing_started_is_nothing_named(probe: Probe) -> None:
    assert privacy(probe()).started == ()


@pytest.mark.parametrize("line", ["echo git", "ls /usr/bin/curl", "grep 'uv' x; true", "X=git true"])
def test_a_word_of_a_shells_line_that_is_no_program_is_let_be(probe: Probe, line: str) -> None:
    assert privacy(probe(at_load=f"subprocess.run({line!r}, shell=True)")).attempts == ()


def test_an_attempt_while_loading_counts_even_when_nothing_is_embedded(probe: Probe) -> None:
    seen = probe(at_load="socket.create_connection(('example.org', 443))")
    assert isinstance(seen[0], Unavailable)
    assert [attempt.call for attempt in privacy(seen).attempts] == ["socket.getaddrinfo"]


@POSIX
def test_a_socket_file_is_not_the_network(probe: Probe) -> None:
    code = "exec('try: socket.socket(socket.AF_UNIX).connect(\"/there/is/none\")\\nexcept FileNotFoundError: pass')"
    assert privacy(probe(at_embed=code)).attempts == ()


NATIVE = (
    "exec('import struct; libc = ctypes.CDLL(None); fd = libc.socket(2, 1, 0); "
    'libc.connect(fd, struct.pack("=HH4s8x", 2, 0x{port:04x}, bytes([127, 0, 0, 1])), 16)\')'
)


@LINUX
def test_native_code_reaches_nothing_in_the_namespace_and_is_counted(probe: Probe) -> None:
    with listener() as (port, met):
        seen = probe(at_embed=NATIVE.format(port=socket.htons(port)))
    if "namespace" not in privacy(seen).watched:
        pytest.skip("this system allows no network namespace")
    assert met == []
    assert [attempt.call for attempt in privacy(seen).attempts] == ["kernel"]


@LINUX
def test_where_no_namespace_is_allowed_it_is_said(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMIC_SCAFFOLD_PROBE_NAMESPACE", "0")
    with listener() as (port, met):
        seen = probe(at_embed=NATIVE.format(port=socket.htons(port)))
    assert privacy(seen).watched == ("socket",)
    assert met  # so the test above proves something


def test_the_probe_gets_a_key_but_no_proxy_and_not_the_users_home(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SOME_SECRET", "x")
    monkeypatch.delenv("NOMIC_API_KEY", raising=False)
    case = embeddings(probe(at_embed="raise ValueError(repr(dict(os.environ)))")).cases["golden:search_query"]
    assert isinstance(case, CaseFailure)
    for there in ("NOMIC_API_KEY", "'HF_HUB_OFFLINE': '1'", "'TRANSFORMERS_OFFLINE': '1'"):
        assert there in case.message
    for missing in ("HTTPS_PROXY", "SOME_SECRET", str(Path.home()) + "'"):
        assert missing not in case.message


def test_progress_tells_texts_done_of_how_many(probe: Probe, numpy_environment: Path, tmp_path: Path) -> None:
    class Counting(Silent):
        done, total = 0, None

        def meter(self, label: str, *, total: int | None, unit: str):  # type: ignore[no-untyped-def]
            outer = self

            class Meter:
                def __enter__(self):  # type: ignore[no-untyped-def]
                    return self

                def __exit__(self, *_: object) -> None:
                    pass

                def advance(self, amount: int) -> None:
                    outer.done += amount

                def resize(self, total: int | None) -> None:
                    outer.total = total

            return Meter()

    probe()
    counting, root = Counting(), tmp_path / "a project, 项目"
    run_probe(prefix_of(numpy_environment), root=root, spec=spec_of(root), texts=TEXTS, progress=counting)
    assert counting.total is not None
    assert 0 < counting.done == counting.total
