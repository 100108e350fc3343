"""Run the probe in an environment: the project's own `embed`, with the environment's own Python, watched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import IO, Any

from pydantic import ValidationError

from nomic_scaffold.disk.shipped import probe_folder
from nomic_scaffold.models.evidence import EmbeddingsEvidence, PrivacyEvidence, Unavailable
from nomic_scaffold.models.prefix import Prefix
from nomic_scaffold.models.probe import (
    ANY_RUNTIME,
    TASKS,
    GoldenText,
    LanguageTexts,
    ProbeTexts,
    RuntimeChoice,
    repeated,
)
from nomic_scaffold.models.progress import Meter, Progress, Silent
from nomic_scaffold.models.spec import ProjectSpec

MARK = "\x1eprobe "
"""Begins a line of the probe's stderr that tells how many texts are done, and of how many."""
LARGEST_ANSWER = 256 << 20
"""Bytes; more than this is not an answer."""
TAIL_LINES = 12
EVERY_RUNTIME = ("torch", "nomic")
COMPUTING = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Variables that decide how a processor computes; a probe in a container gets these too."""
PASSED_ON = (
    "PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "WINDIR", "SYSTEMDRIVE", "NUMBER_OF_PROCESSORS", "TMPDIR", "TEMP",
    "TMP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_PATH", *COMPUTING,
    "NOMIC_SCAFFOLD_WEIGHTS", "NOMIC_SCAFFOLD_DEVICE", "NOMIC_API_KEY", "HF_TOKEN", "NOMIC_SCAFFOLD_PROBE_NAMESPACE",
)  # fmt: skip
"""Variables that the probe gets from the caller; API keys too, so that a runtime which would call out does."""


def run_probe(
    prefix: Prefix,
    *,
    root: Path,
    spec: ProjectSpec,
    texts: ProbeTexts,
    timeout: float = 900.0,
    progress: Progress | None = None,
    on: RuntimeChoice = ANY_RUNTIME,
    languages: Iterable[str] | None = None,
) -> tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]:
    """Embed the probe's texts with the project's own code in `prefix`.

    `languages` (default: those that the project names) and English are asked with pairs and questions. A probe that
    dies, prints something else, or isn't done after `timeout` seconds makes both parts unavailable, with the reason.
    """
    asked = request(root.resolve(), spec, texts, on=on, languages=languages)
    with (progress or Silent()).meter("embedding the probe's texts", total=None, unit="texts") as meter:
        answer = _ask(prefix.python, asked, prefix=prefix.path, timeout=timeout, meter=meter)
    return _parts(answer)


def request(
    root: PurePath,
    spec: ProjectSpec,
    texts: ProbeTexts,
    *,
    on: RuntimeChoice = ANY_RUNTIME,
    languages: Iterable[str] | None = None,
) -> str:
    """Write what the probe reads from stdin; `root` is where the project is for the probe."""
    asked = {"en", *(spec.languages if languages is None else languages)}
    return json.dumps(
        {
            "root": str(root),
            "package": spec.package,
            **on.model_dump(),
            "languages": {language.code: language.sentences for language in texts.languages},
            "cases": cases(texts.golden, [language for language in texts.languages if language.code in asked]),
        }
    )


def understand(
    code: int, answer: bytes, stderr: str
) -> tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]:
    """Read what a probe that ran elsewhere, with exit code `code`, has printed."""
    lines = [line for line in stderr.splitlines() if line and not line.startswith(MARK)]
    return _parts(_understood(code, answer, deque(lines, maxlen=TAIL_LINES)))


def _parts(
    answer: dict[str, Any] | Unavailable,
) -> tuple[EmbeddingsEvidence | Unavailable, PrivacyEvidence | Unavailable]:
    if isinstance(answer, Unavailable):
        return answer, answer
    try:
        return _embeddings(answer["embeddings"]), _privacy(answer["privacy"])
    except (ValidationError, KeyError, TypeError) as error:
        broken = Unavailable(unavailable=f"the probe's answer is not as agreed: {str(error)[:500]}")
        return broken, broken


def cases(golden: tuple[GoldenText, ...], languages: Iterable[LanguageTexts]) -> list[dict[str, Any]]:
    """List what the probe is asked to embed; the ids are described in models/probe.py."""
    asked: list[dict[str, Any]] = []

    def ask(id_: str, texts: Any, task: str, *runtimes: str, **options: Any) -> None:
        asked.append(
            {"id": id_, "texts": texts, "task": task, "runtimes": runtimes or EVERY_RUNTIME, "options": options}
        )

    for task in TASKS:
        texts = [text.text for text in golden if text.task == task]
        if not texts:
            continue
        ask(f"golden:{task}", texts, task)
        for runtime in EVERY_RUNTIME:
            again = repeated([text for text in golden if text.task == task], runtime)
            words = [text.text for text in again]
            ask(f"again:{task}", words, task, runtime)
            ask(f"shuffled:{task}", words, task, runtime, backwards=True)
            if runtime == "torch":
                ask(f"threads:{task}", words, task, runtime, threads=1)
                ask(f"reference:{task}", words, task, runtime, engine="reference")
            for text in again:
                ask(f"single:{text.id}", [text.text], task, runtime)
            if task == "search_document":
                ask("dimension:256", words, task, runtime, dimension=256)
    for language in languages:
        if language.pairs:
            ask(f"pairs:{language.code}", [side for pair in language.pairs for side in (pair.a, pair.b)], "clustering")
        if language.passages:
            ask(f"questions:{language.code}", [p.question for p in language.passages], "search_query")
            ask(f"passages:{language.code}", [p.passage for p in language.passages], "search_document")
    ask("none", [], "search_document")
    ask("unreadable", ["人工智能是未来的方向"], "search_document")
    ask("refuse:unreadable", ["人工智能是未来的方向"], "search_document", unknown="error")
    ask("refuse:empty", ["A text.", ""], "search_document")
    ask("refuse:blank", ["A text.", " \n\t"], "search_document")
    ask("refuse:not-text", ["A text.", 7], "search_document")
    ask("refuse:one-string", "A text that is not in a list.", "search_document")
    ask("refuse:unknown-task", ["A text."], "search")
    ask("refuse:dimension", ["A text."], "search_document", dimension=769)
    ask("refuse:too-long", ["cat " * 8200], "search_document")
    ask("refuse:special-token", ["A text with [SEP] in it."], "search_document", "nomic")
    return asked


def _embeddings(part: Mapping[str, Any]) -> EmbeddingsEvidence | Unavailable:
    model = Unavailable if "unavailable" in part else EmbeddingsEvidence
    return model.model_validate(part)


def _privacy(part: Mapping[str, Any]) -> PrivacyEvidence | Unavailable:
    model = Unavailable if "unavailable" in part else PrivacyEvidence
    return model.model_validate(part)


def _environment(prefix: Path, home: str) -> dict[str, str]:
    """Give the probe what it needs to start and nothing that could help it to reach a network."""
    known = {name.upper(): value for name, value in os.environ.items()}
    variables = {name: known[name] for name in PASSED_ON if name in known}
    if sys.platform == "win32":  # where conda keeps the libraries of an environment that isn't activated
        places = [prefix, prefix / "Library" / "bin", prefix / "Scripts"]
        variables["PATH"] = os.pathsep.join([*map(str, places), variables.get("PATH", "")])
    variables.setdefault("NOMIC_API_KEY", "nk-of-the-probe")
    return variables | {
        "HOME": home,
        "USERPROFILE": home,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONUTF8": "1",
    }


def _ask(python: Path, request: str, *, prefix: Path, timeout: float, meter: Meter) -> dict[str, Any] | Unavailable:
    """Run the probe once; its whole process group is gone when this returns."""
    answer, tail = bytearray(), deque[str](maxlen=TAIL_LINES)
    with tempfile.TemporaryDirectory(prefix="nomic-scaffold-probe-", ignore_cleanup_errors=True) as home:
        try:
            process = subprocess.Popen(
                [str(python), "-I", "-B", "-X", "utf8", str(probe_folder())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=home,
                env=_environment(prefix, home),
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            return Unavailable(unavailable=f"the probe could not be started: {python}: {error.strerror}")
        threads = _talk(process, request.encode(), answer, tail, meter)
        try:
            process.wait(timeout)
            late = False
        except subprocess.TimeoutExpired:
            late = True
        finally:
            _kill(process)
            for thread in threads:
                thread.join(5)
    if late:
        return Unavailable(unavailable=f"the probe was not done after {timeout:g} seconds{_told(tail)}")
    return _understood(process.returncode, bytes(answer), tail)


def _understood(code: int, answer: bytes, tail: deque[str]) -> dict[str, Any] | Unavailable:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        memory = " (often: out of memory)" if name == "SIGKILL" else ""
        return Unavailable(unavailable=f"the probe was killed by {name}{memory}{_told(tail)}")
    if code != 0:
        return Unavailable(unavailable=f"the probe ended with exit code {code}{_told(tail)}")
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        return Unavailable(unavailable=f"the probe printed {answer[:80]!r}, not an answer{_told(tail)}")
    return parsed


def _told(tail: deque[str]) -> str:
    return "; the end of its stderr:\n" + "\n".join(tail) if tail else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the probe and whatever it started."""
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)  # noqa: S607
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _talk(
    process: subprocess.Popen[bytes], request: bytes, answer: bytearray, tail: deque[str], meter: Meter
) -> list[threading.Thread]:
    """Write the request and read both outputs at once, so that no full pipe stops the probe."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    threads = [
        threading.Thread(target=_write, args=(process.stdin, request), daemon=True),
        threading.Thread(target=_read, args=(process.stdout, answer), daemon=True),
        threading.Thread(target=_listen, args=(process.stderr, tail, meter), daemon=True),
    ]
    for thread in threads:
        thread.start()
    return threads


# Each stream is closed by the thread that uses it: closing one that another thread reads would wait for that thread.


def _write(stream: IO[bytes], request: bytes) -> None:
    try:
        with stream:
            stream.write(request)
    except OSError:
        pass  # it died; its exit code and stderr say why


def _read(stream: IO[bytes], answer: bytearray) -> None:
    with stream:
        while len(answer) <= LARGEST_ANSWER and (block := stream.read(1 << 16)):
            answer += block


def _listen(stream: IO[bytes], tail: deque[str], meter: Meter) -> None:
    with stream:
        _follow(stream, tail, meter)


def _follow(stream: IO[bytes], tail: deque[str], meter: Meter) -> None:
    done = 0
    for line in stream:
        text = line.decode(errors="replace").rstrip()
        if text.startswith(MARK):
            now, total = (int(number) for number in text.removeprefix(MARK).split())
            meter.resize(total)
            meter.advance(now - done)
            done = now
        elif text:
            tail.append(text)
