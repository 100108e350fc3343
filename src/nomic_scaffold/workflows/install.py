"""Make a project's environment from its lock: choose the provider and the variant, say why, install."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nomic_scaffold.adapters import project, pypi, reach
from nomic_scaffold.errors import StaleLockError, UsageError
from nomic_scaffold.formats import pylock
from nomic_scaffold.models.lock import PypiLock
from nomic_scaffold.models.prefix import Prefix, Provider
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator

CONDA_LOCK = "conda-lock.yml"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What will be installed, and why."""

    provider: Provider
    accelerator: Accelerator
    destination: Path
    reasons: tuple[str, ...]
    """Whole sentences."""


def choose(
    root: Path,
    spec: ProjectSpec,
    *,
    provider: Literal["auto"] | Provider,
    variant: Literal["auto"] | Accelerator,
    destination: Path | None,
    offline: bool,
    ask: Callable[[ProjectSpec], str | None] | None = None,
) -> Choice:
    """Decide what `install` makes on this machine. `ask` says None when a conda channel answers, else why not."""
    chosen, why = _provider(root, spec, provider=provider, offline=offline, ask=ask or ask_channels)
    if chosen == "pypi" and variant == Accelerator.CUDA:
        raise UsageError("the pypi provider has no CUDA variant", hint="leave out --variant, or use --provider conda")
    return Choice(
        provider=chosen,
        accelerator=Accelerator.CPU,
        destination=destination or project.environment_path(root, chosen),
        reasons=(why,),
    )


def install(root: Path, spec: ProjectSpec, choice: Choice, *, fresh: bool, offline: bool, progress: Progress) -> Prefix:
    """Make the chosen environment, or see that it is there and whole.

    Raises StaleLockError when the lock no longer matches scaffold.toml: `install` never resolves by itself.
    """
    return pypi.install(
        _pylock(root, spec),
        choice.destination,
        wheels=root / "locks" / pylock.WHEELS,
        fresh=fresh,
        offline=offline,
        progress=progress,
    )


def ask_channels(spec: ProjectSpec) -> str | None:
    """Say None when one of the project's conda channels answers, else why none does."""
    urls = {name: name if "://" in name else f"https://conda.anaconda.org/{name}" for name in spec.channels}
    answers = reach.reach_all({name: f"{url}/noarch/repodata.json.zst" for name, url in urls.items()})
    if any(why is None for why in answers.values()):
        return None
    return "; ".join(f"{name}: {why}" for name, why in answers.items())


def _provider(
    root: Path,
    spec: ProjectSpec,
    *,
    provider: Literal["auto"] | Provider,
    offline: bool,
    ask: Callable[[ProjectSpec], str | None],
) -> tuple[Provider, str]:
    if provider != "auto":
        return provider, f"{provider}, as you asked."
    present = project.find_prefix(root)
    if present is not None:
        return present.provider, f"{present.provider}, as the environment that is here; --provider changes it."
    if not (root / CONDA_LOCK).is_file():
        return "pypi", f"pypi, because there is no {CONDA_LOCK} here."
    if offline:
        return "conda", "conda, the default; --offline asks no channel, --provider pypi uses wheels."
    why = ask(spec)
    if why is None:
        return "conda", "conda, the default: a channel answers."
    return "pypi", f"pypi, because no conda channel answers ({why})."


def _pylock(root: Path, spec: ProjectSpec) -> PypiLock:
    lock = project.read_pylock(root)
    wanted = pylock.inputs_digest(spec.pypi_requirements, spec.pypi_python)
    if lock.inputs_digest not in (None, wanted):
        raise StaleLockError(
            "was made from other requirements than [pypi] of scaffold.toml now has",
            path=f"locks/{pylock.NAME}",
            hint="nomic-scaffold lock",
        )
    return lock
