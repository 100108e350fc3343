"""A pinned safetensors file, from `weights add` and `weights pull` to vectors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nomic_scaffold.adapters.golden import shipped_golden
from nomic_scaffold.checks.vectors import decode, largest_difference
from tests.support.projects import make_generated_project, pin, run_in
from tests.support.server import serve

pytestmark = pytest.mark.weights

CONVERT = """
import json, sys
import numpy as np
from my_project.gguf import open_weights

source, folder = sys.argv[1:]
weights = open_weights(source)
header, at = {}, 0
for name, tensor in weights.tensors.items():
    kind = {"float16": "F16", "float32": "F32"}[tensor.dtype.name]
    header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
    at += tensor.nbytes
text = json.dumps(header).encode()
with open(folder + "/model.safetensors", "wb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for tensor in weights.tensors.values():
        file.write(np.ascontiguousarray(tensor).tobytes())
with open(folder + "/vocab.txt", "w", encoding="utf-8", newline="\\n") as file:
    file.writelines(token + "\\n" for token in weights.vocabulary)
"""
EMBED = """
import base64, json, sys
from my_project import embed
rows = embed(json.loads(sys.argv[1]), unknown="ignore")
print(json.dumps([base64.b64encode(row.tobytes()).decode() for row in rows]))
"""
HUB = "nomic-ai/nomic-embed-text-v1.5/resolve/e9b6763023c676ca8431644204f50c2b100d9aab"


def test_a_safetensors_file_is_pinned_brought_and_run(
    torch_environment: Path, official_weights: Path, generated_project: Path, tmp_path: Path
) -> None:
    folder, site = tmp_path / "usb", tmp_path / "site" / HUB
    folder.mkdir()
    site.mkdir(parents=True)
    done = run_in(torch_environment, generated_project, CONVERT, str(official_weights), str(folder))
    assert done.returncode == 0, done.stderr
    shutil.move(folder / "vocab.txt", site)
    project = make_generated_project(tmp_path / "my-project")
    (golden,) = shipped_golden()
    texts = {t.text: t.id for t in golden.texts if t.task == "search_document" and len(t.text) < 40}
    pin(project, folder / "model.safetensors")

    def embed() -> subprocess.CompletedProcess[str]:
        return run_in(torch_environment, project, EMBED, json.dumps([*texts]))

    assert "model.safetensors is missing; run: nomic-scaffold weights pull" in embed().stderr
    with serve(tmp_path / "site") as served:
        variables = {"HF_ENDPOINT": served.url, "NOMIC_SCAFFOLD_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)}
        said = tool(project, variables, "weights", "add", str(folder))
        assert "vocab.txt is needed too: nomic-scaffold weights pull" in said.stderr
        assert "carries no vocabulary; run: nomic-scaffold weights pull" in embed().stderr
        pulled = json.loads(tool(project, variables, "--format", "json", "weights", "pull").stdout)
    vocabulary = project / ".nomic-scaffold" / "weights" / "vocab.txt"
    assert (pulled["source"], pulled["beside"]) == ("the store", [str(vocabulary)])

    done = embed()
    assert done.returncode == 0, done.stderr
    for row, name in zip(json.loads(done.stdout), texts.values(), strict=True):
        assert largest_difference(decode(row), decode(golden.vectors[name])) <= 1e-6, name
    vocabulary.chmod(0o644)
    vocabulary.write_text("[PAD]\n", encoding="utf-8")
    assert "the vocabulary (1 tokens" in embed().stderr


def tool(project: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a project."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "NOMIC_SCAFFOLD"))}
    done = subprocess.run(
        [sys.executable, "-m", "nomic_scaffold", *arguments],
        cwd=project,
        env=kept | variables | {"PYTHONUTF8": "1", "CI": "true"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
