"""What only a machine with a network can show: `nox -s tests -- -m network`.

The same steps are tested elsewhere against servers of this machine; these go to the real hub and the real channel.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomic_scaffold.adapters import weights
from nomic_scaffold.adapters.weights.store import Store
from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.progress import Silent
from nomic_scaffold.models.weights import HubSource
from tests.support.conda_environment import needs_linux
from tests.support.conda_package import HERE
from tests.support.weights import OFFICIAL

pytestmark = pytest.mark.network
CHANNEL = "https://conda.anaconda.org/conda-forge/"


def test_the_hub_gives_the_pinned_file_at_the_pinned_revision(tmp_path: Path) -> None:
    (wanted,) = (file for one in weights.read_manifests() for file in one.files if file.sha256 == OFFICIAL)
    hub = tuple(source for source in wanted.sources if isinstance(source, HubSource))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HF_") or name == "HF_TOKEN"}
    environ |= {"HF_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    only = wanted.model_copy(update={"sources": hub})
    fetched = weights.fetch(only, Store(root=tmp_path / "store"), progress=Silent(), environ=environ)
    assert fetched.source == "Hugging Face"
    assert fetched.path.stat().st_size == wanted.size


@dataclass(frozen=True)
class Machine:
    """A project of the default answers, for this machine's processor, and empty caches."""

    root: Path
    home: Path

    def run(self, *arguments: str) -> str:
        """Run the command without anybody's mirrors; its stdout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOMIC_SCAFFOLD", "CONDA"))}
        own = {
            "HOME": str(self.home),
            "NOMIC_SCAFFOLD_PKGS": str(self.home / "pkgs"),
            "NOMIC_SCAFFOLD_REPODATA": str(self.home / "repodata"),
        }
        command = [sys.executable, "-m", "nomic_scaffold", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=kept | own, capture_output=True, encoding="utf-8", timeout=1500, check=False
        )
        assert done.returncode == ExitCode.OK, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    home = tmp_path_factory.mktemp("machine")
    Machine(home, home).run(
        "--offline", "new", "project", "--defaults", "--platform", HERE, "--variant", "cpu", "--no-git"
    )
    return Machine(home / "project", home)


@needs_linux
def test_one_variant_is_locked_from_the_channel_itself(machine: Machine) -> None:
    machine.run("lock", "--fresh", "--conda-only", "--platform", HERE, "--variant", "cpu")
    lock = (machine.root / "conda-lock.yml").read_text(encoding="utf-8")
    assert f"{CHANNEL}{HERE}/pytorch-" in lock


@needs_linux
def test_what_was_locked_is_installed_from_the_channel_and_proven(machine: Machine) -> None:
    path = machine.root / "environment.yml"
    path.write_text(path.read_text(encoding="utf-8").partition("  - pip:\n")[0], encoding="utf-8")
    machine.run("lock", "--fresh", "--conda-only")
    machine.run("install", "--provider", "conda")
    machine.run("verify", "--only", "environment", "--deep")
