"""Ask a Python what it is: its markers and the wheel tags that it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from nomic_scaffold.errors import UnavailableError

# Runs in the asked Python, which need not have `packaging`: ours is lent to it. With -S no .pth file of the
# environment runs.
_ASK = """
import json, sys
sys.path.append(sys.argv[1])
from packaging.markers import default_environment
from packaging.tags import sys_tags
print(json.dumps({"markers": default_environment(), "tags": [str(tag) for tag in sys_tags()]}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python on this machine."""

    path: Path
    markers: dict[str, str]
    """PEP 508 marker environment."""
    tags: tuple[str, ...]
    """Wheel tags, best first."""

    @property
    def version(self) -> str:
        """The full version, e.g. `3.11.7`."""
        return self.markers["python_full_version"]


def ask(python: Path) -> Interpreter:
    """Run `python` once and describe it; raises UnavailableError when it does not answer."""
    import packaging

    lent = Path(packaging.__file__ or "").parent.parent
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-B", "-c", _ASK, lent],
            capture_output=True,
            timeout=60,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None) or str(error)
        last = said.strip().splitlines()[-1] if said.strip() else type(error).__name__
        raise UnavailableError(f"{python} does not answer: {last}", hint="nomic-scaffold install --fresh") from error
    return Interpreter(path=python, markers=answer["markers"], tags=tuple(answer["tags"]))


def scripts_folder(prefix: Path) -> Path:
    """Give the folder of an environment's programs."""
    return prefix / ("Scripts" if sys.platform == "win32" else "bin")


def python_of(prefix: Path) -> Path:
    """Give the Python of a virtual environment."""
    return scripts_folder(prefix) / ("python.exe" if sys.platform == "win32" else "python")


def site_packages(prefix: Path, version: str) -> Path:
    """Give the folder that a virtual environment's packages lie in; `version` is e.g. `3.11.7`."""
    if sys.platform == "win32":
        return prefix / "Lib" / "site-packages"
    return prefix / "lib" / f"python{'.'.join(version.split('.')[:2])}" / "site-packages"
