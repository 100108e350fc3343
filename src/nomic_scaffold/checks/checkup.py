"""Say what a survey of a machine means: each thing with its consequence and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from nomic_scaffold.models.checkup import Checkup, Item, ProjectState, Server, State, Survey

GIGABYTE = 1_000_000_000
ENVIRONMENT_BYTES = {"pypi": 1.3e9, "conda": 3.5e9}
"""Wheels: 0.57 GB installed and as much in uv's cache; conda, CPU: 0.4 GB of archives, unpacked in cache and prefix."""
MEMORY_BYTES = 1.5e9
"""A process that embeds: the nomic runtime peaks at 0.66 GB (docs/how-to/doctor.md), torch holds float32 weights."""
OLDEST_DRIVER = "525.60"
"""The oldest NVIDIA driver that runs CUDA 12 builds (CUDA's minor version compatibility)."""
MAX_OFFSET = 300.0
CONDA_PROGRAMS = ("conda", "mamba", "micromamba", "pixi", "conda-lock")


def diagnose(survey: Survey, *, tool_version: str) -> Checkup:
    """Judge a survey for the project at hand; outside a project, for what `new` needs."""
    return Checkup(
        tool_version=tool_version,
        project=survey.project.name if survey.project else None,
        machine=survey.facts,
        items=(
            _python(survey),
            _platform(survey),
            *_folders(survey),
            _memory(survey),
            _libc(survey),
            _gpu(survey),
            _git(survey),
            _docker(survey),
            _conda(survey),
            *_servers(survey),
            _proxies(survey),
            _certificates(survey),
            _clock(survey),
        ),
    )


def _item(
    id_: str,
    title: str,
    seen: str,
    *,
    lacks: bool = False,
    needed: bool = False,
    consequence: str = "",
    mend: str = "",
) -> Item:
    """Make an item; consequence and mend are said only when it lacks."""
    state = State.OK if not lacks else State.LACKING if needed else State.NOTE
    if not lacks:
        consequence = mend = ""
    return Item(id=id_, title=title, state=state, seen=seen, consequence=consequence, mend=mend, needed=needed)


def _python(survey: Survey) -> Item:
    version = survey.facts.python
    return _item(
        "python",
        "Python of this tool",
        f"{version} ({survey.executable})",
        lacks=_older(version, "3.11"),
        needed=True,
        consequence="this tool needs 3.11 or newer",
        mend="uv python install 3.13, or your system's python3.13",
    )


def _platform(survey: Survey) -> Item:
    project, here = survey.project, survey.facts.platform
    lacks = project is not None and here not in project.platforms
    return _item(
        "platform",
        "Platform",
        f"{here}; {survey.facts.os}; {survey.facts.processor or 'processor'}, {survey.facts.cores or '?'} cores",
        lacks=lacks,
        needed=lacks and project is not None and project.environment is None,
        consequence="the project's conda locks do not name this platform",
        mend=f"add {here!r} to platforms in scaffold.toml, then: nomic-scaffold lock",
    )


def _folders(survey: Survey) -> Iterator[Item]:
    project = survey.project
    for folder in survey.folders:
        room = 0.0
        if project is not None and folder.what == "project" and project.environment is None:
            room = ENVIRONMENT_BYTES["pypi"]
        if project is not None and folder.what == "model store" and not project.weights:
            room = float(project.weights_bytes) * 1.1
        id_ = f"disk-{folder.what.replace(' ', '-')}"
        title = f"Disk, {folder.what}"
        seen = f"{_gb(folder.free)} free at {folder.path}"
        if not folder.writable:
            yield _item(
                id_,
                title,
                f"no permission to write at {folder.path}",
                lacks=True,
                needed=folder.what == "project" or room > 0,
                consequence=_NOT_WRITABLE.get(folder.what, "nothing can be kept there"),
                mend=_MOVE.get(folder.what, f"sudo chown -R $USER {folder.path}"),
            )
            continue
        yield _item(
            id_,
            title,
            seen,
            lacks=folder.free is not None and folder.free < max(room, 0.2 * GIGABYTE),
            needed=room > 0,
            consequence=f"what is to come needs about {_gb(max(room, 0.2 * GIGABYTE))}",
            mend=_MOVE.get(folder.what, "make room; uv cache prune and conda clean --all often free much"),
        )


_NOT_WRITABLE = {
    "project": "no environment, lock or report can be written",
    "model store": "the model file can't be kept for several projects",
    "package cache": "every package is fetched again",
}
_MOVE = {
    "model store": "export NOMIC_SCAFFOLD_STORE=/a/folder/with/room",
    "package cache": "export NOMIC_SCAFFOLD_PKGS=/a/folder/with/room",
}


def _memory(survey: Survey) -> Item:
    seen = f"{_gb(survey.memory_available)} available of {_gb(survey.memory)}"
    return _item(
        "memory",
        "Memory",
        seen,
        lacks=survey.memory_available is not None and survey.memory_available < MEMORY_BYTES,
        needed=survey.project is not None,
        consequence=f"embedding may be killed: it takes up to {_gb(MEMORY_BYTES)}",
        mend="close other programs, or raise the container's limit (docker run --memory 4g)",
    )


def _libc(survey: Survey) -> Item:
    libc, project = survey.facts.libc, survey.project
    if not survey.facts.platform.startswith("linux"):
        return _item("libc", "C library", "of the system", needed=False)
    floor = (project.glibc if project else None) or "2.28"
    name, _, version = (libc or "").partition(" ")
    old = name != "glibc" or _older(version, floor)
    return _item(
        "libc",
        "C library",
        libc or "unknown",
        lacks=libc is not None and old,
        needed=project is not None and project.environment is None,
        consequence=f"the locked packages are built for glibc {floor} or newer",
        mend="use a newer system, or the image: nomic-scaffold image build",
    )


def _gpu(survey: Survey) -> Item:
    facts, project = survey.facts, survey.project
    seen = f"{facts.gpu or 'none'}" + (f", driver {facts.driver}" if facts.driver else "")
    too_old = facts.driver is not None and _older(facts.driver, OLDEST_DRIVER)
    return _item(
        "gpu",
        "Graphics card",
        seen,
        lacks=facts.gpu is None or too_old,
        needed=project is not None and project.cuda_only,
        consequence=f"the driver is older than {OLDEST_DRIVER}: CUDA 12 builds don't run; the CPU does"
        if too_old
        else "the CUDA variant can't run here; the CPU variant does",
        mend="install a current NVIDIA driver" if facts.driver else "nothing to do for the CPU variant",
    )


def _git(survey: Survey) -> Item:
    git = _program(survey, "git")
    return _item(
        "git",
        "git",
        git or "not found",
        lacks=git is None,
        consequence="new makes no first commit, and diff has no last commit to compare with",
        mend=_package(survey, "git"),
    )


def _docker(survey: Survey) -> Item:
    client = _program(survey, "docker")
    seen = f"client {client or 'not found'}; engine {survey.docker or survey.docker_why_not or 'not found'}"
    return _item(
        "docker",
        "Docker",
        seen,
        lacks=survey.docker is None,
        consequence="image build and image verify can't run; nothing else needs it",
        mend="sudo systemctl start docker" if client else _package(survey, "docker.io"),
    )


def _conda(survey: Survey) -> Item:
    found = [f"{name} {version}" for name in CONDA_PROGRAMS if (version := _program(survey, name))]
    seen = ", ".join(found) or "none found"
    return _item("conda", "conda programs", f"{seen}; none is needed, install works without")


def _servers(survey: Survey) -> Iterator[Item]:
    project = survey.project
    if survey.servers is None:
        for id_, title, needed in (
            ("packages", "Where packages come from", project is not None and project.environment is None),
            ("weights", "Where the model file comes from", project is not None and not project.weights),
        ):
            yield Item(
                id=id_,
                title=title,
                state=State.NOT_LOOKED_AT,
                seen="--offline: no server was asked",
                consequence="whether it can be fetched is not known" if needed else "",
                mend="nomic-scaffold doctor" if needed else "",
                needed=needed,
            )
        return
    yield _packages(survey.servers, project)
    yield _weights(survey.servers, project)


def _packages(servers: tuple[Server, ...], project: ProjectState | None) -> Item:
    asked = [server for server in servers if server.role in ("channel", "index")]
    channels = any(server.role == "channel" and server.why_not is None for server in asked)
    index = any(server.role == "index" and server.why_not is None for server in asked)
    here = project.environment if project else None
    if channels and index:
        consequence, mend = "", ""
    elif channels:
        consequence = "lock can't write locks/pylock.toml, and what conda lacks (gpt4all) can't be installed"
        mend = "pip config set global.index-url URL-OF-YOUR-MIRROR"
    elif index:
        consequence = "install uses wheels (provider pypi) with the nomic runtime; lock needs a channel"
        mend = "name a mirror: export NOMIC_SCAFFOLD_MIRRORS=CHANNEL_URL=MIRROR_URL"
    else:
        consequence = "no environment can be made here"
        mend = "set HTTPS_PROXY, or name a mirror: pip config set global.index-url URL; NOMIC_SCAFFOLD_MIRRORS"
    if here is not None and not (channels and index):
        consequence += f"; the {here} environment that is here stays as it is"
    return _item(
        "packages",
        "Where packages come from",
        _told(asked),
        lacks=not (channels and index),
        needed=project is not None and here is None and not (channels or index),
        consequence=consequence,
        mend=mend,
    )


def _weights(servers: tuple[Server, ...], project: ProjectState | None) -> Item:
    # The parts of the model file that are on a package index are a source like the others.
    asked = [server for server in servers if server.role in ("weights", "index")]
    answers = [server for server in asked if server.why_not is None]
    there = project is not None and project.weights
    return _item(
        "weights",
        "Where the model file comes from",
        ("already here; " if there else "") + _told(asked),
        lacks=not answers,
        needed=project is not None and not there,
        consequence="weights pull finds no source",
        mend="export HF_ENDPOINT=URL-OF-YOUR-MIRROR, or bring the file: nomic-scaffold weights add FILE",
    )


def _proxies(survey: Survey) -> Item:
    seen = ", ".join(f"{name}={value}" for name, value in sorted(survey.proxies.items()))
    return _item("proxies", "Proxies", seen or "none set")


def _certificates(survey: Survey) -> Item:
    missing = sorted(place for place, there in survey.certificates.items() if not there)
    return _item(
        "certificates",
        "Certificates",
        ", ".join(sorted(survey.certificates)) or "the defaults",
        lacks=bool(missing),
        needed=bool(missing),
        consequence=f"no such file: {', '.join(missing)}; every https request fails",
        mend="unset " + " ".join(place.partition("=")[0] for place in missing) + ", or name a file that is there",
    )


def _clock(survey: Survey) -> Item:
    if survey.clock_offset is None:
        return Item(id="clock", title="Clock", state=State.NOT_LOOKED_AT, seen="no server told the time")
    offset = survey.clock_offset
    lacks = abs(offset) > MAX_OFFSET
    return _item(
        "clock",
        "Clock",
        f"{abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} the servers'"
        if lacks
        else "agrees with the servers'",
        lacks=lacks,
        needed=abs(offset) > 86_400,
        consequence="certificates may be refused, and reports carry a wrong time",
        mend={"osx": "sudo sntp -sS pool.ntp.org", "win": "w32tm /resync"}.get(
            survey.facts.platform.partition("-")[0], "sudo timedatectl set-ntp true"
        ),
    )


def _told(servers: list[Server]) -> str:
    return "; ".join(f"{server.what}: {server.why_not or 'answers'}" for server in servers) or "none configured"


def _program(survey: Survey, name: str) -> str | None:
    for program in survey.programs:
        if program.name == name and program.path is not None:
            return program.version or program.path
    return None


def _package(survey: Survey, name: str) -> str:
    match survey.facts.platform.partition("-")[0]:
        case "osx":
            return f"brew install {'docker' if name == 'docker.io' else name}"
        case "win":
            return {"git": "winget install Git.Git"}.get(name, "winget install Docker.DockerDesktop")
        case _:
            return f"sudo apt-get install {name}, or your system's package of it"


def _older(version: str, floor: str) -> bool:
    try:
        return Version(version) < Version(floor)
    except InvalidVersion:
        return False


def _gb(size: float | None) -> str:
    return "?" if size is None else f"{size / GIGABYTE:.1f} GB"
