"""Virtual environments that run the model, built from pip once and kept by the digest of what is in them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from filelock import FileLock

NOMIC = ("nomic[local]==3.9.0", "gpt4all==2.8.2", "tokenizers==0.23.3", "numpy==2.4.6", "pytest==9.2.0")
TORCH = (
    "torch==2.13.0",
    "transformers==5.23.0",
    "tokenizers==0.23.3",
    "safetensors==0.8.0",
    "numpy==2.4.6",
    "pytest==9.2.0",
)


def cache_root() -> Path:
    """Give the folder where tests keep what is slow to make; NOMIC_SCAFFOLD_TEST_CACHE moves it."""
    named = os.environ.get("NOMIC_SCAFFOLD_TEST_CACHE")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".cache" / "tests"


def environment(name: str, requirements: tuple[str, ...]) -> Path:
    """Give the Python of a virtual environment with `requirements`; made at the first call, one process at a time."""
    key = "\n".join([sys.version, sysconfig.get_platform(), *requirements])
    folder = cache_root() / "envs" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    whole = folder / "whole"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not whole.exists():
            venv.create(folder, with_pip=True, clear=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"pip could not make the {name} environment:\n{done.stderr[-4000:]}"
            whole.touch()
    return python


@pytest.fixture(scope="session")
def nomic_environment() -> Path:
    """Python of an environment with the official client: `nomic[local]`, tokenizers, numpy, pytest."""
    return environment("nomic", NOMIC)


@pytest.fixture(scope="session")
def torch_environment() -> Path:
    """Python of an environment with torch and transformers."""
    return environment("torch", TORCH)


@pytest.fixture(scope="session")
def numpy_environment() -> Path:
    """Python of an environment with numpy alone, for probes of made-up projects."""
    return environment("numpy", ("numpy==2.4.6",))
