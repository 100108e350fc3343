"""Embed a fixed corpus with this project and with what people would use instead: `nox -s bench -- embedding`.

    [BUILD=1] python benchmarks/embedding.py [--quick] [--only NAME ...] [--rounds N] [--no-write]

Contenders have the same weights, run in virtual environments under .cache/bench, take turns, and the best of their
rounds counts. The limit is the fastest float32 matrix product that any library reaches in the same run, divided by the
model's operations. The table goes between the markers of docs/explanation/speed.md, and of README.md where it has them.
`--quick` is a smoke test: a few texts, one round, nothing written. BUILD=1 lets pip compile what has no wheel.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CACHE = ROOT / ".cache" / "bench"
WORKER = ROOT / "benchmarks" / "_embedding_worker.py"
START, END = "<!-- benchmark: embedding -->", "<!-- end of benchmark: embedding -->"
PREFIX = "search_document: "
TORCH = ("torch==2.13.0", "transformers==5.23.0", "tokenizers==0.23.3", "safetensors==0.8.0", "numpy==2.4.6")
ENVIRONMENTS = {
    "torch": (*TORCH, "sentence-transformers==6.2.0", "onnxruntime", "onnx", "onnxscript"),
    "nomic": ("nomic[local]==3.9.0", "gpt4all==2.8.2", "tokenizers==0.23.3", "numpy==2.4.6"),
    "llama": ("llama-cpp-python", "numpy==2.4.6"),
}
TOKEN_OPERATIONS = 2 * 12 * (768 * 2304 + 768 * 768 + 3 * 768 * 3072)
"""Of a token in the matrix products: 226.5 million; attention comes on top, 36,864 for each pair of tokens."""
PAIR_OPERATIONS = 12 * 4 * 768


@dataclass(frozen=True)
class Entry:
    """One line of the table: a contender with a setting."""

    label: str
    contender: str
    environment: str
    setting: Any
    sets: tuple[str, ...] = ("mixed", "short", "long")


ENTRIES = (
    Entry("this project, float32", "ours", "torch", "float32"),
    Entry("this project, bfloat16", "ours", "torch", "bfloat16"),
    Entry("this project, float32, reference engine", "ours", "torch", ["float32", "reference"], ("mixed",)),
    Entry("sentence-transformers, batch 32 (default)", "sentence_transformers", "torch", 32),
    Entry("sentence-transformers, batch 8", "sentence_transformers", "torch", 8),
    Entry("sentence-transformers, batch 1", "sentence_transformers", "torch", 1),
    Entry("onnxruntime, sorted, batch 1", "onnxruntime", "torch", 1),
    Entry("onnxruntime, sorted, batch 8", "onnxruntime", "torch", 8),
    Entry("onnxruntime, sorted, batch 32", "onnxruntime", "torch", 32),
    Entry("nomic client (gpt4all), one by one", "nomic", "nomic", 1),
    Entry("nomic client (gpt4all), batch 32", "nomic", "nomic", 32, ("mixed",)),
    Entry("llama-cpp-python, one by one", "llama_cpp", "llama", 1),
    Entry("llama-cpp-python, batch 32", "llama_cpp", "llama", 32, ("mixed",)),
)


GOALS = (
    ("sentence-transformers, batch 32", "sentence-transformers' default", "6, in bfloat16 11"),
    ("sentence-transformers", "sentence-transformers at its best", "3"),
    ("onnxruntime", "onnxruntime at its best", "1.25"),
    ("nomic client", "the nomic client at its best", "1"),
    ("llama-cpp-python", "llama-cpp-python at its best", "1"),
)
"""What a label starts with, what it is called, and how many times as fast this project should be."""


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
    pages = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    paragraphs = [part for page in pages for part in page.split("\n\n") if len(part) > 40]
    long = [text for text in docstrings if 2500 < len(text) < 7000] + [
        page[:6000] for page in pages if len(page) > 2500
    ]
    firsts = [text.splitlines()[0] for text in docstrings if len(text.splitlines()[0]) > 15]
    mixed = docstrings[:360] + paragraphs[:: max(1, len(paragraphs) // 40)][:40]
    sets = {"mixed": mixed, "short": firsts[:400], "long": long[:24]}
    few = {"mixed": 6, "short": 6, "long": 1}
    return {name: [PREFIX + t[:7000] for t in texts[: few[name] if quick else None]] for name, texts in sets.items()}


def environment(name: str) -> Path | str:
    """Give the Python of an environment under .cache/bench, made once; or say why there is none.

    llama-cpp-python often comes as source only, which takes a compiler and long minutes: only with BUILD=1.
    """
    folder = CACHE / "envs" / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join(ENVIRONMENTS[name])
    whole = folder / "whole"
    if not whole.exists() or whole.read_text(encoding="utf-8") != wanted:
        print(f"making the {name} environment ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *ENVIRONMENTS[name]]
        command += [] if os.environ.get("BUILD") else ["--only-binary=llama-cpp-python"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
            return f"pip can't install it here ({(reasons or ['no reason given'])[0].removeprefix('ERROR: ')[:120]})"
        whole.write_text(wanted, encoding="utf-8")
    return python


def project() -> Path:
    """Make a generated project with the official model file in place; give the file."""
    from nomic_scaffold.adapters import project as projects
    from nomic_scaffold.adapters import template
    from nomic_scaffold.formats.answers import resolve
    from nomic_scaffold.models.progress import Silent
    from nomic_scaffold.workflows import weights

    folder = CACHE / "project"
    folder.mkdir(parents=True, exist_ok=True)
    template.render(folder, resolve({}, folder="my-project"))
    weights.pull(folder, offline=False, progress=Silent())
    return projects.weights_path(folder, projects.read_spec(folder))


def start(entry: Entry, python: Path, file: Path, first: str) -> Worker | str:
    """Start a contender and let it embed one text; or say why it can't run."""
    variables = {"PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    log = (CACHE / f"{entry.contender}.log").open("a", encoding="utf-8")
    process = subprocess.Popen(
        [str(python), str(WORKER), entry.contender, str(file), str(CACHE)],
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
    line = process.stdout.readline()
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


def machine_limit(python: Path, file: Path) -> dict[str, float]:
    """Measure the fastest matrix product of each library, in GF/s."""
    command = [str(python), str(WORKER), "limit", str(file), str(CACHE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)["limit"]
    return found


def measure(
    entries: list[Entry], sets: dict[str, list[str]], file: Path, rounds: int
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Let the contenders take turns; keep the best of each one's rounds. Also gives their versions."""
    measured = {entry.label: Measured() for entry in entries}
    workers: dict[str, Worker | str] = {}
    expected: list[list[float]] = []
    for turn in range(rounds):
        for entry in entries:
            key = process_of(entry)
            if key not in workers:
                python = environment(entry.environment)
                workers[key] = python if isinstance(python, str) else start(entry, python, file, sets["short"][0])
            worker = workers[key]
            mine = measured[entry.label]
            if isinstance(worker, str):
                mine.failure = worker
                continue
            mine.startup = worker.startup
            print(f"round {turn + 1} of {rounds}: {entry.label}", file=sys.stderr)
            try:
                for name in entry.sets:
                    seconds, vectors = worker.embed(sets[name], entry.setting)
                    mine.seconds[name] = min(seconds, mine.seconds.get(name, seconds))
                    if name == "mixed":
                        expected = expected or vectors
                        mine.off = furthest(vectors, expected)
            except RuntimeError as error:
                workers[key] = mine.failure = str(error)
            mine.peak = worker.peak
    running = {process_of(entry): entry.contender for entry in entries}
    versions = {running[key]: worker.version for key, worker in workers.items() if isinstance(worker, Worker)}
    for worker in workers.values():
        if isinstance(worker, Worker) and worker.process.stdin is not None:
            worker.process.stdin.close()
            worker.process.wait()
    return measured, versions


def process_of(entry: Entry) -> str:
    """Name the process that an entry runs in: ours have one each, so that each one's memory is its own."""
    return entry.label if entry.contender == "ours" else entry.contender


def furthest(vectors: list[list[float]], expected: list[list[float]]) -> float:
    """Give the largest difference of a component."""
    pairs = zip(vectors, expected, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))


def report(result: dict[str, Any]) -> str:
    """Write the Markdown: the figures, the ratios and the limit."""
    sets = result["sets"]
    texts = "; ".join(f"{name}: {found['texts']} texts, {found['tokens']:,} tokens" for name, found in sets.items())
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    limits = ", ".join(f"{name} {speed:.0f}" for name, speed in sorted(result["limit"].items(), key=lambda i: -i[1]))
    return "\n".join(
        [
            f"Measured with `nox -s bench -- embedding` on {result['machine']}; best of {result['rounds']} rounds.",
            "",
            "| | tokens/s mixed | short | long | texts/s mixed | GF/s mixed | start-up s | peak MB | off by |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_line(label, found, sets) for label, found in result["measured"].items()),
            "",
            "This project in float32 is, on mixed lengths:",
            "",
            *_ratios(result),
            "",
            f"Texts: {texts} (sha256 {result['corpus'][:12]}). Versions: {versions}.",
            f"Fastest float32 product of each library, GF/s: {limits}.",
            "*Off by*: largest difference of a component from this project's float32 vectors, all finished alike.",
        ]
    )


def _line(label: str, found: dict[str, Any], sets: dict[str, dict[str, float]]) -> str:
    if found["failure"]:
        return f"| {label} | not measured: {found['failure']} | | | | | | | |"
    mixed = found["seconds"]["mixed"]
    cells = [_speed(sets[name]["tokens"], found["seconds"].get(name)) for name in ("mixed", "short", "long")]
    cells += [f"{sets['mixed']['texts'] / mixed:.1f}", f"{sets['mixed']['operations'] / mixed / 1e9:.0f}"]
    cells += [f"{found['startup']:.1f}", f"{found['peak'] / 1e6:.0f}", f"{found['off']:.1e}"]
    return f"| {label} | {' | '.join(cells)} |"


def _ratios(result: dict[str, Any]) -> list[str]:
    def best(start_of_label: str) -> float | None:
        found = [f["seconds"] for label, f in result["measured"].items() if label.startswith(start_of_label)]
        return min((seconds["mixed"] for seconds in found if "mixed" in seconds), default=None)

    fast, half = best("this project, float32"), best("this project, bfloat16")
    if fast is None:
        return []
    ratios = []
    for start_of_label, name, goal in GOALS:
        if peer := best(start_of_label):
            also = f", {peer / half:.2f} times in bfloat16" if half else ""
            ratios.append(f"- {peer / fast:.2f} times as fast as {name}{also} (goal: {goal})")
    limit = max(result["limit"].values()) * 1e9
    share = result["sets"]["mixed"]["operations"] / fast / limit
    return [*ratios, f"- at {share:.0%} of the machine's limit (goal: 80 %)"]


def _speed(tokens: float, seconds: float | None) -> str:
    return "" if seconds is None else f"{tokens / seconds:,.0f}"


def write_between_markers(path: Path, text: str) -> bool:
    """Put the text between the markers of a page; false when it has none."""
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    if START not in page:
        return False
    fresh = re.sub(f"{re.escape(START)}.*?{re.escape(END)}", lambda _: f"{START}\n{text}\n{END}", page, flags=re.DOTALL)
    path.write_text(fresh, encoding="utf-8")
    return True


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
    limits = [machine_limit(python, file)]
    measured, versions = measure(entries, sets, file, rounds)
    limits.append(machine_limit(python, file))
    result = {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "rounds": rounds,
        "corpus": hashlib.sha256(json.dumps(sets).encode()).hexdigest(),
        "sets": {n: {"texts": len(c), "tokens": sum(c), "operations": operations(c)} for n, c in lengths.items()},
        "limit": {name: max(found.get(name, 0.0) for found in limits) for name in limits[0]},
        "versions": versions,
        "measured": {label: vars(found) for label, found in measured.items()},
    }
    (CACHE / "result.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    text = report(result)
    print(text)
    if not (chosen.quick or chosen.no_write or chosen.only):
        for page in (ROOT / "docs" / "explanation" / "speed.md", ROOT / "README.md"):
            if write_between_markers(page, text):
                print(f"wrote {page.relative_to(ROOT)}", file=sys.stderr)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
