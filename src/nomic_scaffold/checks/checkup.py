"""Say what a survey of a machine means: each thing with its consequence and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from nomic_scaffold.checks import mends, to_come
from nomic_scaffold.models.checkup import Checkup, Folder, Item, Server, State, Survey
from nomic_scaffold.models.variant import Accelerator, Platform

GIGABYTE = 1_000_000_000
MEMORY_BYTES = 1.5e9
"""A process that embeds peaks at 0.66 GB with the nomic runtime, at 1.10 GB with torch (docs/how-to/doctor.md)."""
MAX_OFFSET = 300.0
CHANNEL = "https://conda.anaconda.org/conda-forge"
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
        mend="uv tool install --python 3.13 nomic-scaffold",
    )


def _platform(survey: Survey) -> Item:
    project, here = survey.project, survey.facts.platform
    named = {str(variant.platform) for variant in project.variants} if project else set()
    lacks = project is not None and here not in named
    known = here in set(Platform)
    return _item(
        "platform",
        "Platform",
        f"{here}; {survey.facts.os}; {survey.facts.processor or 'processor'}, {survey.facts.cores or '?'} cores",
        lacks=lacks,
        needed=lacks and project is not None and project.environment is None,
        consequence="the project's conda locks do not name this platform"
        if known
        else "conda-forge builds no pytorch for this platform; wheels may do",
        mend=f'add "{here}" to platforms in scaffold.toml, then: nomic-scaffold lock'
        if known
        else "nomic-scaffold install --provider pypi",
    )


def _folders(survey: Survey) -> Iterator[Item]:
    rooms, on = to_come.rooms(survey), mends.system(survey.facts.platform)
    for folder in survey.folders:
        beside = [f.what for f in survey.folders if f.what == folder.what or (f.device == folder.device is not None)]
        yield _folder(folder, own=rooms[folder.what], room=sum(rooms[what] for what in beside), on=on)


def _folder(folder: Folder, *, own: float, room: float, on: mends.System) -> Item:
    """Judge a place to write to; `own` bytes are yet to come there, `room` on its whole disk."""
    id_, title = f"disk-{folder.what.replace(' ', '-')}", f"Disk, {folder.what}"
    variable = _MOVES.get(folder.what)
    elsewhere = mends.set_variable(on, variable, "D:\\nomic" if on == "win" else "/mnt/nomic") if variable else ""
    if not folder.writable:
        return _item(
            id_,
            title,
            f"no permission to write at {folder.path}",
            lacks=True,
            needed=folder.what == "project" or own > 0,
            consequence=_NOT_WRITABLE.get(folder.what, "nothing can be kept there"),
            mend=mends.let_write(on, folder.path) + (f"; or elsewhere: {elsewhere}" if elsewhere else ""),
        )
    least = max(room, 0.2 * GIGABYTE)
    return _item(
        id_,
        title,
        f"{_gb(folder.free)} free at {folder.path}",
        lacks=folder.free is not None and folder.free < least,
        needed=own > 0,
        consequence=f"what is to come on this disk needs about {_gb(least)}",
        mend=mends.free_room(on) + (f"; or elsewhere: {elsewhere}" if elsewhere else ""),
    )


_NOT_WRITABLE = {
    "project": "no environment, lock or report can be written",
    "model store": "the model file can't be kept for several projects",
    "package cache": "install can't fetch or unpack a package",
}
_MOVES = {"model store": "NOMIC_SCAFFOLD_STORE", "package cache": "NOMIC_SCAFFOLD_PKGS"}


def _memory(survey: Survey) -> Item:
    seen = f"{_gb(survey.memory_available)} available of {_gb(survey.memory)}"
    return _item(
        "memory",
        "Memory",
        seen,
        lacks=survey.memory_available is not None and survey.memory_available < MEMORY_BYTES,
        needed=survey.project is not None,
        consequence=f"embedding may be killed: it takes up to {_gb(MEMORY_BYTES)}",
        mend=mends.free_memory(mends.system(survey.facts.platform)),
    )


def _libc(survey: Survey) -> Item:
    """Judge what the variant wants of the system: its C library, kernel or release."""
    facts, project, chosen = survey.facts, survey.project, to_come.chosen(survey)
    on = mends.system(facts.platform)
    unmet = [need for need in (to_come.unmet(survey, chosen) if chosen else ()) if need.name != "__cuda"]
    libc = any(need.name == "__glibc" for need in unmet)
    return _item(
        "libc",
        "C library" if on == "linux" else "System",
        (facts.libc or "unknown") if on == "linux" else facts.os,
        lacks=bool(unmet),
        needed=project is not None and project.environment is None and to_come.provider(survey) == "conda",
        consequence="the locked packages want " + " and ".join(str(n).removesuffix(": NOT MET") for n in unmet),
        mend="nomic-scaffold image build" if libc else mends.newer_system(on),
    )


def _gpu(survey: Survey) -> Item:
    """Judge the graphics card by what the CUDA variant wants, as `install` does."""
    facts, project, here = survey.facts, survey.project, to_come.here(survey)
    cuda, has_cpu = here.get(Accelerator.CUDA), Accelerator.CPU in here
    seen = f"{facts.gpu or 'none'}" + (f", driver {facts.driver}" if facts.driver else "")
    unmet = [need for need in (to_come.unmet(survey, cuda) if cuda else ()) if need.name == "__cuda"]
    something = facts.gpu or facts.driver or any(need.has for need in unmet)
    if not unmet or (has_cpu and not something):
        return _item(
            "gpu", "Graphics card", seen + ("" if facts.gpu or not has_cpu else "; the cpu variant needs none")
        )
    has = f"the one here has {unmet[0].has}" if unmet[0].has else "there is none here"
    wants = f"cuda wants an NVIDIA driver of CUDA {unmet[0].wants} or newer, {has}"
    return _item(
        "gpu",
        "Graphics card",
        seen,
        lacks=True,
        needed=not has_cpu and project is not None and project.environment != "pypi",
        consequence=f"{wants}; install takes cpu"
        if has_cpu
        else f"{wants}; it is the only variant for {facts.platform}",
        mend="get the current driver from https://www.nvidia.com/drivers, then: nvidia-smi"
        if something
        else f'add "{facts.platform}" to platforms of [variants.cpu] in scaffold.toml, then: nomic-scaffold lock',
    )


def _git(survey: Survey) -> Item:
    git = _program(survey, "git")
    return _item(
        "git",
        "git",
        git or "not found",
        lacks=git is None,
        consequence="new makes no first commit, and diff has no last commit to compare with",
        mend=mends.get_program(mends.system(survey.facts.platform), "git"),
    )


def _docker(survey: Survey) -> Item:
    client = _program(survey, "docker")
    engine = f"engine {survey.docker}" if survey.docker else survey.docker_why_not or "no engine"
    seen = f"client {client or 'not found'}; {engine}"
    return _item(
        "docker",
        "Docker",
        seen,
        lacks=survey.docker is None,
        consequence="image build and image verify can't run; nothing else needs it",
        mend=(client and survey.docker_hint) or mends.get_program(mends.system(survey.facts.platform), "docker"),
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
    yield _packages(survey.servers, survey)
    yield _weights(survey.servers, survey)


def _packages(servers: tuple[Server, ...], survey: Survey) -> Item:
    project, on = survey.project, mends.system(survey.facts.platform)
    asked = [server for server in servers if server.role in ("channel", "index")]
    channels = any(server.role == "channel" and server.why_not is None for server in asked)
    index = any(server.role == "index" and server.why_not is None for server in asked)
    here = project.environment if project else None
    mirror = mends.set_variable(on, "NOMIC_SCAFFOLD_MIRRORS", f"{CHANNEL}=https://YOUR-MIRROR/conda-forge")
    if channels and index:
        consequence, mend = "", ""
    elif channels:
        consequence = "lock can't write locks/pylock.toml, and what conda lacks (gpt4all) can't be installed"
        mend = "pip config set global.index-url https://YOUR-MIRROR/simple"
    elif index:
        consequence = "install uses wheels (provider pypi) with the nomic runtime; lock needs a channel"
        mend = mirror
    else:
        consequence = "no environment can be made here"
        mend = _way_out(survey) + f"; or a mirror: {mirror}"
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


def _way_out(survey: Survey) -> str:
    """Say how a machine that reaches nobody gets out: another proxy, none, or one at all."""
    on, through = mends.system(survey.facts.platform), sorted(set(survey.proxies) - {"NO_PROXY"})
    if through:
        return f"mend the proxy, or go without: {mends.unset_variables(on, through)}"
    return "name your proxy: " + mends.set_variable(on, "HTTPS_PROXY", "http://YOUR-PROXY:3128")


def _weights(servers: tuple[Server, ...], survey: Survey) -> Item:
    # The parts of the model file that are on a package index are a source like the others.
    project, on = survey.project, mends.system(survey.facts.platform)
    asked = [server for server in servers if server.role in ("weights", "index")]
    answers = [server for server in asked if server.why_not is None]
    there = project is not None and project.weights
    mirror = mends.set_variable(on, "HF_ENDPOINT", "https://YOUR-MIRROR")
    return _item(
        "weights",
        "Where the model file comes from",
        ("already here; " if there else "") + _told(asked),
        lacks=not answers,
        needed=project is not None and not there,
        consequence="weights pull finds no source" + ("; the file that is here stays" if there else ""),
        mend=f"{mirror}, or bring the file: nomic-scaffold weights add FILE",
    )


def _proxies(survey: Survey) -> Item:
    seen = ", ".join(f"{name}={value}" for name, value in sorted(survey.proxies.items()))
    return _item("proxies", "Proxies", seen or "none set")


def _certificates(survey: Survey) -> Item:
    missing = sorted(place for place, there in survey.certificates.items() if not there)
    files: dict[str, list[str]] = {}
    for place in sorted(survey.certificates):
        name, _, file = place.partition("=")
        files.setdefault(file, []).append(name)
    return _item(
        "certificates",
        "Certificates",
        "; ".join(f"{file} ({', '.join(names)})" for file, names in files.items()) or "the defaults",
        lacks=bool(missing),
        needed=bool(missing),
        consequence=f"no such file: {', '.join(missing)}; https requests fail",
        mend=mends.unset_variables(mends.system(survey.facts.platform), [place.partition("=")[0] for place in missing]),
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
        mend=mends.set_clock(mends.system(survey.facts.platform)),
    )


def _told(servers: list[Server]) -> str:
    return "; ".join(f"{server.what}: {server.why_not or 'answers'}" for server in servers) or "none configured"


def _program(survey: Survey, name: str) -> str | None:
    for program in survey.programs:
        if program.name == name and program.path is not None:
            return program.version or program.path
    return None


def _older(version: str, floor: str) -> bool:
    try:
        return Version(version) < Version(floor)
    except InvalidVersion:
        return False


def _gb(size: float | None) -> str:
    return "?" if size is None else f"{size / GIGABYTE:.1f} GB"
