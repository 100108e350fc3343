"""What benchmarks against other libraries share: an environment for each, and a project with the model file."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
LLAMA = "llama-cpp-python==0.3.36"
TORCH = ("torch==2.13.0", "transformers==5.23.0", "tokenizers==0.23.3", "safetensors==0.8.0", "numpy==2.4.6")
ENVIRONMENTS = {
    "torch": (*TORCH, "sentence-transformers==6.2.0", "onnxruntime==1.32.0", "onnx==1.23.2", "onnxscript==0.7.2"),
    "nomic": ("nomic[local]==3.9.0", "gpt4all==2.8.2", "tokenizers==0.23.3", "numpy==2.4.6"),
    "llama": (LLAMA, "numpy==2.4.6"),
}


def environment(name: str) -> Path | str:
    """Give the Python of an environment under .cache/bench, made once; or say why there is none.

    llama-cpp-python comes as source, which takes a compiler and long minutes: it is compiled only with BUILD=1, and its
    wheel is kept.
    """
    folder, wheels = CACHE / "envs" / name, CACHE / "wheels"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join(ENVIRONMENTS[name])
    whole = folder / "whole"
    if whole.exists() and whole.read_text(encoding="utf-8") == wanted:
        return python
    compile_it = LLAMA in ENVIRONMENTS[name] and not any(wheels.glob("llama_cpp_python-*"))
    if compile_it and not os.environ.get("BUILD"):
        return "it comes as source; BUILD=1 compiles it, which takes long minutes"
    print(f"making the {name} environment ...", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    steps = [[*pip, "install", "--only-binary=llama-cpp-python", "--find-links", str(wheels), *ENVIRONMENTS[name]]]
    if compile_it:
        steps.insert(0, [*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), LLAMA])
    wheels.mkdir(parents=True, exist_ok=True)
    variables = {"CMAKE_ARGS": "-DLLAVA_BUILD=OFF"} | os.environ  # nothing for images: a third less to compile
    for command in steps:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
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
