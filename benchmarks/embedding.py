"""Embed a fixed corpus with this project and with what people would use instead: `nox -s bench -- embedding`.

    [BUILD=1] python benchmarks/embedding.py [--quick] [--only NAME ...] [--rounds N] [--no-write]

Contenders have the same weights, run in virtual environments under .cache/bench, one process for each line of the
table, and take turns. On mixed lengths the best of the rounds counts; short and long texts, and lines that are known to
be slow, have one round. The limit is the fastest matrix product that any library reaches in the same run, in the same
number type. The table goes between the markers of docs/explanation/speed.md, the ratios between those of README.md.
`--quick` is a smoke test: a few texts, one round, nothing written. BUILD=1 compiles llama-cpp-python, once.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder: a file of it has the name of the tokenizers library

from benchmarks._contenders import CACHE, environment, project  # noqa: E402
from benchmarks._tables import write_between_markers  # noqa: E402

WORKER = ROOT / "benchmarks" / "_embedding_worker.py"
PREFIX = "search_document: "
TRAINED_TOKENS = 2048
"""Longer texts have other positions, which only this project computes."""
TOKEN_OPERATIONS = 2 * 12 * (768 * 2304 + 768 * 768 + 3 * 768 * 3072)
"""Of a token in the matrix products: 226.5 million; attention comes on top, 36,864 for each pair of tokens."""
PAIR_OPERATIONS = 12 * 4 * 768
PATIENCE = 600.0
"""Seconds after which a contender that doesn't answer is ended."""


@dataclass(frozen=True)
class Entry:
    """One line of the table: a contender with a setting."""

    label: str
    contender: str
    environment: str
    setting: Any
    once: bool = False
    """Whether it is known to be slow: one round, on mixed lengths only."""


ENTRIES = (
    Entry("this project, float32", "ours", "torch", "float32"),
    Entry("this project, bfloat16", "ours", "torch", "bfloat16"),
    Entry("this project, float32, reference engine", "ours", "torch", ["float32", "reference"], once=True),
    Entry("this project, float32, exact engine", "ours", "torch", ["float32", "exact"], once=True),
    Entry("sentence-transformers, batch 32 (default)", "sentence_transformers", "torch", 32),
    Entry("sentence-transformers, batch 8", "sentence_transformers", "torch", 8),
    Entry("sentence-transformers, batch 1", "sentence_transformers", "torch", 1),
    Entry("onnxruntime, sorted, batch 1", "onnxruntime", "torch", 1),
    Entry("onnxruntime, sorted, batch 8", "onnxruntime", "torch", 8),
    Entry("onnxruntime, sorted, batch 32", "onnxruntime", "torch", 32),
    Entry("nomic client (gpt4all), one by one", "nomic", "nomic", 1),
    Entry("nomic client (gpt4all), batch 32", "nomic", "nomic", 32, once=True),
    Entry("llama-cpp-python, one by one", "llama_cpp", "llama", 1),
    Entry("llama-cpp-python, batch 32", "llama_cpp", "llama", 32, once=True),
)


@dataclass(frozen=True)
class Goal:
    """How many times as fast as a peer this project should be, on mixed lengths."""

    peer: str
    """What the labels of the peer's lines start with; the fastest of them counts."""
    name: str
    times: float
    ours: str = "float32"


GOALS = (
    Goal("sentence-transformers, batch 32", "sentence-transformers' default", 6),
    Goal("sentence-transformers, batch 32", "sentence-transformers' default", 11, "bfloat16"),
    Goal("sentence-transformers", "sentence-transformers at its best batch size", 3),
    Goal("onnxruntime", "onnxruntime at its best batch size", 1.25),
    Goal("nomic client", "the nomic client (gpt4all)", 1),
    Goal("llama-cpp-python", "llama-cpp-python", 1),
)
SHARE_OF_LIMIT = 0.8


@dataclass
class Worker:
    """A contender's process; embeds when told to."""

    process: subprocess.Popen[str]
    startup: float
    version: str
    peak: int = 0

    def embed(self, texts: list[str], setting: Any) -> tuple[float, list[list[float]]]:
        """Give the seconds that it took, and the vectors of the first texts."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"texts": texts, "setting": setting}) + "\n")
        self.process.stdin.flush()
        answer = _answer(self.process)
        self.peak = max(self.peak, answer["peak"])
        return answer["seconds"], answer["vectors"]

    def end(self) -> None:
        """Let the process go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Measured:
    """What one line of the table was measured to be."""

    seconds: dict[str, float] = field(default_factory=dict)
    startup: float | None = None
    peak: int = 0
    off: float | None = None
    """Largest difference of a component of the first vectors from this project's float32 ones."""
    failure: str = ""


def corpus(quick: bool) -> dict[str, list[str]]:
    """Make the three sets of texts from the running Python's docstrings and this repository's own words."""
    docstrings = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts or "tests" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        nodes = (n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef))
        docstrings += [text for text in map(ast.get_docstring, nodes) if text and len(text) > 20]
    docstrings = sorted(set(docstrings), key=lambda text: hashlib.sha256(text.encode()).digest())
    # Decisions are not rewritten, as other pages are, some of them by benchmarks.
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "decisions").glob("000[1-7]-*.md"))]
    paragraphs = [part for page in pages for part in page.split("\n\n") if len(part) > 40]
    firsts = [text.splitlines()[0] for text in docstrings if len(text.splitlines()[0]) > 15]
    long = [text for text in docstrings if 2500 < len(text) < 7000]
    sets = {"mixed": docstrings[:90] + paragraphs[:10], "short": firsts[:100], "long": long[:5]}
    few = {"mixed": 6, "short": 6, "long": 1}
    return {name: [PREFIX + text for text in texts[: few[name] if quick else None]] for name, texts in sets.items()}


def start(entry: Entry, python: Path, file: Path, first: str) -> Worker | str:
    """Start a contender and let it embed one text; or say why it can't run."""
    variables = {"PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    log = (CACHE / f"{entry.contender}.log").open("w", encoding="utf-8")
    process = subprocess.Popen(
        _worker(python, entry.contender, file),
        env=os.environ | variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        encoding="utf-8",
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps({"texts": [first], "setting": entry.setting}) + "\n")
    process.stdin.flush()
    try:
        answer = _answer(process)
    except RuntimeError as error:
        return str(error)
    return Worker(process, answer["startup"], answer["version"])


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    line = process.stdout.readline()
    watch.cancel()
    if not line:
        process.wait()
        raise RuntimeError(f"its process ended with {process.returncode}; see {CACHE.relative_to(ROOT)}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def operations(lengths: list[int]) -> float:
    """Count the model's operations on texts of these lengths in tokens."""
    return float(sum(TOKEN_OPERATIONS * n + PAIR_OPERATIONS * n * n for n in lengths))


def token_counts(python: Path, file: Path, texts: list[str]) -> list[int]:
    """Count tokens with the generated project's tokenizer."""
    script = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from my_project import gguf, tokenizer;"
        "t = tokenizer.build_tokenizer(gguf.open_weights(sys.argv[2]).vocabulary);"
        "print(json.dumps([len(e.ids) for e in t.encode_batch_fast(json.load(sys.stdin))]))"
    )
    command = [str(python), "-c", script, str(CACHE / "project" / "src"), str(file)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    counts: list[int] = json.loads(done.stdout)
    return counts


def machine_limit(python: Path, file: Path) -> dict[str, dict[str, float]]:
    """Measure the fastest matrix product of each library, in GF/s, by number type."""
    done = subprocess.run(_worker(python, "limit", file), capture_output=True, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)["limit"]
    return found


def _worker(python: Path, part: str, file: Path) -> list[str]:
    return [str(python), "-P", str(WORKER), part, str(file), str(CACHE)]


def measure(
    entries: list[Entry], sets: dict[str, list[str]], file: Path, rounds: int
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Let the contenders take turns; keep the best of each one's rounds. Also gives their versions."""
    measured = {entry.label: Measured() for entry in entries}
    workers: dict[str, Worker | str] = {}
    versions: dict[str, str] = {}
    expected: list[list[float]] = []
    for turn in range(rounds):
        for entry in entries:
            if turn and entry.once:
                continue
            mine = measured[entry.label]
            if entry.label not in workers:
                python = environment(entry.environment)
                started = python if isinstance(python, str) else start(entry, python, file, sets["short"][0])
                workers[entry.label] = started
            worker = workers[entry.label]
            if isinstance(worker, str):
                mine.failure = worker
                continue
            print(f"round {turn + 1} of {rounds}: {entry.label}", file=sys.stderr)
            try:
                for name in sets if turn == 0 and not entry.once else ["mixed"]:
                    seconds, vectors = worker.embed(sets[name], entry.setting)
                    mine.seconds[name] = min(seconds, mine.seconds.get(name, seconds))
                    if name == "mixed":
                        expected = expected or vectors
                        mine.off = furthest(vectors, expected)
            except (RuntimeError, OSError) as error:
                workers[entry.label] = mine.failure = str(error)
                continue
            mine.startup, mine.peak, versions[entry.contender] = worker.startup, worker.peak, worker.version
            if entry.once or turn == rounds - 1:
                worker.end()
    return measured, versions


def furthest(vectors: list[list[float]], expected: list[list[float]]) -> float:
    """Give the largest difference of a component."""
    pairs = zip(vectors, expected, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))


def report(result: dict[str, Any]) -> str:
    """Write the Markdown: the figures, the ratios and the limit."""
    sets = result["sets"]
    texts = "; ".join(f"{name}: {found['texts']} texts, {found['tokens']:,} tokens" for name, found in sets.items())
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return "\n".join(
        [
            f"Measured with `nox -s bench -- embedding` on {result['machine']}; "
            f"mixed: best of {result['rounds']} rounds.",
            "",
            "| | tokens/s mixed | short | long | texts/s mixed | GF/s mixed | start-up s | peak MB | off by |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_line(label, found, sets) for label, found in result["measured"].items()),
            "",
            ratios(result),
            "",
            f"Texts, of Python {result['python']} and this repository: {texts} (sha256 {result['corpus'][:12]}).",
            f"Versions: {versions}.",
            *(_limits(kind, found) for kind, found in result["limit"].items()),
            "*Off by*: largest difference of a component from this project's float32 vectors, all finished alike.",
        ]
    )


def _limits(kind: str, found: dict[str, float]) -> str:
    fastest = sorted(found.items(), key=lambda item: -item[1])
    return (
        f"Fastest {kind} product of each library, GF/s: {', '.join(f'{name} {speed:.0f}' for name, speed in fastest)}."
    )


def _line(label: str, found: dict[str, Any], sets: dict[str, dict[str, float]]) -> str:
    if found["failure"]:
        return f"| {label} | not measured: {found['failure']} | | | | | | | |"
    mixed = found["seconds"]["mixed"]
    cells = [_speed(sets[name]["tokens"], found["seconds"].get(name)) for name in ("mixed", "short", "long")]
    cells += [f"{sets['mixed']['texts'] / mixed:.1f}", f"{sets['mixed']['operations'] / mixed / 1e9:.0f}"]
    cells += [f"{found['startup']:.1f}", f"{found['peak'] / 1e6:.0f}", f"{found['off']:.1e}"]
    return f"| {label} | {' | '.join(cells)} |"


def ratios(result: dict[str, Any]) -> str:
    """Write the Markdown of the ratios on mixed lengths, each with its goal."""

    def best(start_of_label: str) -> float | None:
        found = [f["seconds"] for label, f in result["measured"].items() if label.startswith(start_of_label)]
        return min((seconds["mixed"] for seconds in found if "mixed" in seconds), default=None)

    def ours(kind: str) -> float | None:
        found = result["measured"].get(f"this project, {kind}")
        return found["seconds"].get("mixed") if found else None

    lines = ["| this project, on a CPU, mixed lengths | measured | goal | |", "|---|---|---|---|"]
    for goal in GOALS:
        peer, mine = best(goal.peer), ours(goal.ours)
        if peer and mine:
            times = peer / mine
            measured = f"{times:.2f} times as fast | {goal.times:g} | {_met(times >= goal.times)}"
            lines.append(f"| {goal.ours}, beside {goal.name} | {measured} |")
        else:
            lines.append(f"| {goal.ours}, beside {goal.name} | not measured | {goal.times:g} | |")
    for kind, limits in result["limit"].items():
        if mine := ours(kind):
            share = result["sets"]["mixed"]["operations"] / mine / max(limits.values()) / 1e9
            wanted = f"{SHARE_OF_LIMIT:.0%} | {_met(share >= SHARE_OF_LIMIT)}" if kind == "float32" else "|"
            lines.append(f"| {kind}, of the machine's fastest matrix product | {share:.0%} | {wanted} |")
    return "\n".join(lines)


def _met(reached: bool) -> str:
    return "met" if reached else "not met"


def _speed(tokens: float, seconds: float | None) -> str:
    return "" if seconds is None else f"{tokens / seconds:,.0f}"


def main() -> None:
    """Measure, print, and write the pages."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--only", nargs="*", default=[], help="contenders, by name")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-write", action="store_true")
    chosen = options.parse_args()
    entries = [entry for entry in ENTRIES if not chosen.only or entry.contender in chosen.only]
    sets, file = corpus(chosen.quick), project()
    python = environment("torch")
    if isinstance(python, str):
        sys.exit(f"no torch environment: {python}")
    rounds = 1 if chosen.quick else chosen.rounds
    lengths = {name: token_counts(python, file, texts) for name, texts in sets.items()}
    longest = max(map(max, lengths.values()))
    assert longest <= TRAINED_TOKENS, f"a text has {longest} tokens: other libraries would compute something else"
    subprocess.run(_worker(python, "prepare", file), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    limits = [machine_limit(python, file)]
    measured, versions = measure(entries, sets, file, rounds)
    limits.append(machine_limit(python, file))
    kinds = limits[0]
    result = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "rounds": rounds,
        "corpus": hashlib.sha256(json.dumps(sets).encode()).hexdigest(),
        "sets": {n: {"texts": len(c), "tokens": sum(c), "operations": operations(c)} for n, c in lengths.items()},
        "limit": {kind: {name: max(one[kind][name] for one in limits) for name in kinds[kind]} for kind in kinds},
        "versions": versions,
        "measured": {label: vars(found) for label, found in measured.items()},
    }
    (CACHE / "result.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(report(result))
    if not (chosen.quick or chosen.no_write or chosen.only):
        source = "\n\nMeasured with `nox -s bench -- embedding`; [the whole table](docs/explanation/speed.md)."
        write_between_markers(ROOT / "docs" / "explanation" / "speed.md", "embedding", report(result))
        write_between_markers(ROOT / "README.md", "embedding", f"On {result['machine']}:\n\n{ratios(result)}{source}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
