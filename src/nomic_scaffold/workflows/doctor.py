"""What this machine has and lacks for the project at hand."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nomic_scaffold import __version__
from nomic_scaffold.adapters import lock_files, machine, project, pypi, reach, survey, weights
from nomic_scaffold.adapters.container import engine
from nomic_scaffold.checks.checkup import diagnose
from nomic_scaffold.errors import ScaffoldError
from nomic_scaffold.formats import lock_sizes
from nomic_scaffold.models.checkup import Checkup, Folder, ProjectState, Server, Survey
from nomic_scaffold.models.lock import SIZES_PATH, LockPaths
from nomic_scaffold.models.progress import Progress
from nomic_scaffold.models.spec import ProjectSpec
from nomic_scaffold.models.variant import Accelerator

CHANNELS = ("conda-forge",)
"""What is asked outside a project."""
_PATIENCE = 8.0
"""Seconds for the slowest of the questions that can't be given a limit of their own."""


def examine(root: Path | None, *, offline: bool, progress: Progress) -> Checkup:
    """Survey this machine and judge it for the project at `root`; None: for making one."""
    progress.say("looking at this machine" + ("" if offline else " and at the servers it needs"))
    spec = None if root is None else project.read_spec(root)
    seen = look(root, spec, offline=offline)
    return diagnose(seen, tool_version=__version__)


def look(root: Path | None, spec: ProjectSpec | None, *, offline: bool) -> Survey:
    """Survey this machine; nothing is judged here."""
    questions: dict[str, Callable[[], object]] = {
        "docker": _docker,
        "programs": lambda: survey.programs(machine.run),
        "virtual": _virtual,
    }
    if not offline:
        questions |= {"index": pypi.ask_index, "servers": lambda: _servers(spec)}
    answers = at_once(questions)
    servers, offset = (None, None) if offline else _with_index(answers["servers"], answers["index"])
    docker = answers["docker"]
    version, why_not, hint = docker if isinstance(docker, tuple) else (None, str(docker), None)
    total, available = survey.memory()
    programs, virtual = answers["programs"], answers["virtual"]
    return Survey(
        facts=machine.facts(),
        executable=sys.executable,
        memory=total,
        memory_available=available,
        folders=_folders(root),
        programs=programs if isinstance(programs, tuple) else (),
        docker=version,
        docker_why_not=why_not,
        docker_hint=hint,
        virtual_packages=virtual if isinstance(virtual, tuple) else (),
        servers=servers,
        clock_offset=offset,
        proxies=survey.proxies(os.environ),
        certificates=survey.certificates(os.environ),
        project=None if root is None or spec is None else _state(root, spec),
    )


def _folders(root: Path | None) -> tuple[Folder, ...]:
    from nomic_scaffold.adapters.conda.archive import cache_root

    return (
        survey.folder("project", root or Path.cwd()),
        survey.folder("model store", weights.open_store().root),
        survey.folder("package cache", cache_root()),
    )


def _state(root: Path, spec: ProjectSpec) -> ProjectState:
    prefix = project.find_prefix(root)
    path = project.weights_path(root, spec)
    stored = any(entry.sha256 == spec.model.sha256 and not entry.partial for entry in weights.open_store().entries())
    return ProjectState(
        name=spec.name,
        environment=prefix.provider if prefix else None,
        weights=stored or (path.is_file() and path.stat().st_size == spec.model.size),
        weights_bytes=spec.model.size,
        variants=spec.variants,
        conda_lock=(root / LockPaths(accelerator=Accelerator.CPU).lock).is_file(),
        downloads=_downloads(root, spec),
    )


def _downloads(root: Path, spec: ProjectSpec) -> dict[str, int]:
    """Add up the packages of each variant, from the locks' own lists; a variant that they don't tell is left out."""
    sizes = lock_sizes.parse(lock_files.derived_text(root / SIZES_PATH) or "")
    found = {}
    for variant in spec.variants:
        listed = LockPaths(accelerator=variant.accelerator).explicit(variant.platform, sha256=True)
        hashes = re.findall(r"\b[0-9a-f]{64}\b", lock_files.derived_text(root / listed) or "")
        if total := sum(sizes.get(sha256, 0) for sha256 in hashes):
            found[variant.id] = total
    return found


def _servers(spec: ProjectSpec | None) -> tuple[tuple[Server, ...], float | None]:
    """Ask the channels and the hosts of model files, and how far this clock is behind theirs."""
    from nomic_scaffold.adapters.conda.client import CANONICAL, channel_access, redact

    access = channel_access(os.environ)
    asked: dict[str, tuple[Server, str]] = {}
    for name in spec.channels if spec else CHANNELS:
        url = access.resolve(name if "://" in name else f"{CANONICAL}/{name}")
        asked[f"channel {redact(name)}"] = (
            Server(what=f"channel {redact(name)}", role="channel", address=redact(url), why_not=None),
            f"{url}/noarch/repodata.json.zst",
        )
    for name, url in _sources(spec).items():
        asked[name] = (Server(what=name, role="weights", address=redact(url), why_not=None), url)
    answers = reach.reach_all({name: url for name, (_, url) in asked.items()}, timeout=_PATIENCE / 2)
    servers = tuple(
        Server(what=s.what, role=s.role, address=s.address, why_not=answers[name].why_not)
        for name, (s, _) in asked.items()
    )
    offsets = sorted(a.clock_offset for a in answers.values() if a.clock_offset is not None)
    return servers, offsets[len(offsets) // 2] if offsets else None


def _with_index(answer: object, index: object) -> tuple[tuple[Server, ...], float | None]:
    """Add the package index, which uv asks, being what uses it."""
    servers, offset = answer if isinstance(answer, tuple) else ((), None)
    why_not = index if isinstance(index, str) else None
    asked = Server(what="package index", role="index", address="as pip is configured", why_not=why_not)
    return (*servers, asked), offset


def _sources(spec: ProjectSpec | None) -> dict[str, str]:
    """Give the addresses that the project's model file is fetched from; outside a project, the first known file's."""
    files = [file for manifest in weights.read_manifests() for file in manifest.files]
    wanted = [file for file in files if spec is None or file.sha256 == spec.model.sha256]
    return weights.addresses(wanted[0], os.environ) if wanted else {}


def _docker() -> tuple[str | None, str | None, str | None]:
    try:
        with engine.engine() as client:
            return str(client.version().get("Version", "unknown")), None, None
    except ScaffoldError as error:
        return None, error.message.partition(" (")[0], error.hint


def _virtual() -> object:
    from nomic_scaffold.adapters.conda import virtual

    return virtual.virtual_packages()


def at_once(questions: dict[str, Callable[[], object]], *, patience: float = _PATIENCE) -> dict[str, object]:
    """Ask everything at the same time; what has not answered in time is said so."""
    answers: dict[str, object] = dict.fromkeys(questions, f"no answer in {patience:g} s")

    def ask(name: str) -> None:
        try:
            answers[name] = questions[name]()
        except Exception as error:
            answers[name] = f"{type(error).__name__}: {error}"

    # Daemons: an engine or a name server that hangs must not keep the command from ending.
    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in questions]
    for thread in threads:
        thread.start()
    end = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(answers)
