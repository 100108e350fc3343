"""The torch runtime of a generated project, tested inside an environment that has torch and transformers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INSIDE = Path(__file__).resolve().parents[1] / "inside"
pytestmark = pytest.mark.weights


@pytest.mark.parametrize(
    "file", ["test_torch.py", "test_torch_exact.py", "test_torch_same_bits.py", "test_torch_tokens.py"]
)
def test_inside_the_torch_environment(file: str, torch_environment: Path, generated_project: Path) -> None:
    command = [str(torch_environment), "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini", file]
    variables = {"PYTHONPATH": str(generated_project / "src"), "PYTHONUTF8": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        command, cwd=INSIDE, env=os.environ | variables, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
