"""Who reads which text otherwise than the official tokenizer, and what it does to the vector: the table of who drifts.

    [BUILD=1] python benchmarks/tokenizers.py [--quick]

`nox -s bench -- tokenizers` writes it into docs/explanation/how-equal-is-equal.md. Golden texts, sentences in many
languages and strings from all of Unicode go through the official tokenizer (the tokenizers library on the vocabulary of
the pinned file), llama.cpp's (its Python binding), the nomic client left to itself (gpt4all) and, where it is on PATH,
ollama. gpt4all and ollama show no ids: their own vectors are compared. Vectors of other ids are made by torch.
BUILD=1 compiles llama-cpp-python; `--quick` is a smoke test that writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import unicodedata
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder: this file has the name of the tokenizers library

from benchmarks._contenders import CACHE, LLAMA, environment, project  # noqa: E402
from benchmarks._tables import write_between_markers  # noqa: E402
from nomic_scaffold.adapters.golden import shipped_texts  # noqa: E402
from tests.support.environments import NOMIC, TORCH  # noqa: E402
from tests.support.environments import environment as test_environment  # noqa: E402
from tests.support.strings import RANGES, strings  # noqa: E402

PAGE = ROOT / "docs" / "explanation" / "how-equal-is-equal.md"
WORKER = ROOT / "benchmarks" / "_tokenizers_worker.py"
STRINGS, LONGEST = 60, 40
SAME = "the same"
DRIFT = 1e-4
"""1 - cos from which a vector of another library's own making is of other tokens: its rounding stays below."""


def kinds() -> dict[str, list[str]]:
    """Give the texts, by what they are."""
    texts = shipped_texts()
    found = {}
    for language in texts.languages:
        pairs = [sentence for pair in language.pairs for sentence in (pair.a, pair.b)]
        found[language.name] = sorted({*language.sentences, *pairs, *(p.passage for p in language.passages)})
    composed = {text for some in found.values() for text in some if max(text) < "\u2000"}
    apart = {unicodedata.normalize("NFD", text) for text in composed}
    found["any of these, accents decomposed (NFD)"] = sorted(apart - composed)[:STRINGS]
    found["a word of more than 100 characters"] = [f"the {letter * 101} ends" for letter in "abcdefgh"]
    special = ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]")
    found["`[CLS]` and its like, written out"] = [f"see {token} there" for token in special]
    found["more than 2,048 tokens"] = ["river " * 2100]
    found["the golden texts"] = sorted({text.text for text in texts.golden})
    for name, span in RANGES.items():
        kind = f"strings, {name} (U+{span[0]:04X} to U+{span[1] - 1:04X})"
        found[kind] = strings([span], STRINGS, longest=LONGEST)
    return found


def ask(part: str, python: Path, file: Path, request: Any) -> Any:
    """Let a part of the worker answer in the environment that has what it takes."""
    command = [str(python), "-P", str(WORKER), part, str(file), str(CACHE / "project" / "src")]
    print(f"{part} ...", file=sys.stderr)
    variables = {"OMP_NUM_THREADS": "1"} | os.environ  # threads of gpt4all that wait for each other stand still
    done = subprocess.run(
        command, env=variables, input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def ollama(file: Path, texts: list[str]) -> list[list[float]]:
    """Embed with a private ollama server that runs the same file."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    variables = os.environ | {"OLLAMA_HOST": address, "OLLAMA_MODELS": str(CACHE / "ollama")}
    (CACHE / "Modelfile").write_text(f"FROM {file}\n", encoding="utf-8")
    server = subprocess.Popen(["ollama", "serve"], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(5)
        create = ["ollama", "create", "official", "-f", str(CACHE / "Modelfile")]
        subprocess.run(create, env=variables, check=True, capture_output=True)
        rows = []
        for text in texts:
            body = json.dumps({"model": "official", "input": f"search_document: {text}"}).encode()
            with urllib.request.urlopen(f"http://{address}/api/embed", body, timeout=600) as answer:
                rows.append(json.load(answer)["embeddings"][0])
        return rows
    finally:
        server.terminate()
        server.wait()


def measure(texts: list[str]) -> tuple[dict[str, list[float | None]], dict[str, str]]:
    """Give 1 - cos of each text that a contender reads otherwise, None for the others; and why who is missing."""
    file = project()
    torch, nomic, llama = test_environment("torch", TORCH), test_environment("nomic", NOMIC), environment("llama")
    request: dict[str, Any] = {"official": ask("official", torch, file, texts), "ids": {}, "vectors": {}}
    missing = {}
    if isinstance(llama, str):
        missing["llama"] = llama
    else:
        request["ids"]["llama"] = ask("llama", llama, file, texts)
    request["vectors"]["gpt4all"] = ask("gpt4all", nomic, file, texts)
    if shutil.which("ollama"):
        request["vectors"]["ollama"] = ollama(file, texts)
    else:
        missing["ollama"] = "it is not on this machine"
    found: dict[str, list[float | None]] = {}
    for name, off in ask("distances", torch, file, request).items():
        if name in request["ids"]:
            same = [a == b for a, b in zip(request["ids"][name], request["official"], strict=True)]
        else:
            same = [one < DRIFT for one in off]
        found[name] = [None if equal else one for equal, one in zip(same, off, strict=True)]
    return found, missing


def table(groups: dict[str, list[str]], off: dict[str, list[float | None]], missing: dict[str, str]) -> str:
    """Give the Markdown: a line for each kind of text that somebody reads otherwise; the others are named below."""
    heads = {"gpt4all": f"nomic client ({NOMIC[1].replace('==', ' ')})", "llama": LLAMA.replace("==", " ")}
    heads = {name: head for name, head in (heads | {"ollama": "ollama"}).items() if name in off}
    lines = [f"| kind of text | texts | {' | '.join(heads.values())} |", "|---|---|" + "---|" * len(heads)]
    start, same = 0, {}
    for kind, texts in groups.items():
        cells = [_cell(off[name][start : start + len(texts)]) for name in heads]
        if set(cells) == {SAME}:
            same[kind] = len(texts)
        else:
            lines.append(f"| {kind} | {len(texts)} | {' | '.join(cells)} |")
        start += len(texts)
    lines += ["", f"Read by all as officially ({sum(same.values())} texts): {'; '.join(same)}."] if same else []
    lines += ["", *(f"Not measured: {name} ({reason})." for name, reason in missing.items())]
    return "\n".join(lines)


def _cell(off: list[float | None]) -> str:
    drifted = [one for one in off if one is not None]
    return f"{len(drifted)} otherwise, 1 - cos up to {max(drifted):.2g}" if drifted else SAME


def main() -> None:
    """Measure, print, and write the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true")
    quick = options.parse_args().quick
    groups = {kind: texts[:2] if quick else texts for kind, texts in kinds().items()}
    off, missing = measure([text for texts in groups.values() for text in texts])
    text = table(groups, off, missing)
    print(text)
    if not quick:
        write_between_markers(PAGE, "tokenizers", text)


if __name__ == "__main__":
    main()
