"""What a machine has and lacks: what was surveyed, and what that means for the project at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from nomic_scaffold.errors import ExitCode
from nomic_scaffold.models.boundary import Boundary
from nomic_scaffold.models.evidence import MachineFacts
from nomic_scaffold.models.variant import Variant, VirtualPackage


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A place that the tool writes to."""

    what: str
    """e.g. `project`, `model store`."""
    path: str
    free: int | None
    """Bytes; None when it can't be told."""
    writable: bool
    device: int | None = None
    """Number of the disk that it is on; None when it can't be told."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that was looked for."""

    name: str
    path: str | None
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that was asked."""

    what: str
    """e.g. `channel conda-forge`."""
    role: Literal["channel", "weights", "index"]
    address: str
    """Without logins."""
    why_not: str | None
    """None when it answers."""


@dataclass(frozen=True, kw_only=True)
class ProjectState:
    """The project at hand, as far as this machine matters to it."""

    name: str
    environment: Literal["conda", "pypi"] | None
    """Who made the finished environment; None when there is none."""
    weights: bool
    """The model file is in the project or in the store, in its size."""
    weights_bytes: int
    variants: tuple[Variant, ...]
    """What it can be installed as, and what each wants of a machine."""
    conda_lock: bool
    """conda-lock.yml is there."""
    downloads: Mapping[str, int]
    """Variant id, e.g. `linux-64-cpu` -> bytes of its locked conda packages; only where locks tell."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Everything that `doctor` looked at, unjudged."""

    facts: MachineFacts
    executable: str
    memory: int | None
    """Bytes of memory that this process may use, swap left out."""
    memory_available: int | None
    folders: tuple[Folder, ...]
    programs: tuple[Program, ...]
    docker: str | None
    """Version of the Docker engine that answers."""
    docker_why_not: str | None
    docker_hint: str | None
    """What mends it, as the engine's adapter has it."""
    virtual_packages: tuple[VirtualPackage, ...]
    """What this machine is to conda."""
    servers: tuple[Server, ...] | None
    """None when no server was asked (`--offline`)."""
    clock_offset: float | None
    """Seconds that this clock is behind the servers'; None when none told."""
    proxies: dict[str, str]
    """Variable -> value without logins."""
    certificates: dict[str, bool]
    """`VARIABLE=path` -> whether that file is there."""
    project: ProjectState | None


class State(StrEnum):
    """How one thing stands."""

    OK = "ok"
    NOTE = "note"
    """Lacking, and something does not work or works less well; the project at hand does without."""
    LACKING = "lacking"
    """Lacking, and the project at hand needs it."""
    NOT_LOOKED_AT = "not looked at"


class Item(Boundary):
    """One thing that a machine has or lacks."""

    id: str
    """Stable, for scripts."""
    title: str
    state: State
    seen: str
    consequence: str = ""
    mend: str = ""
    """The command that mends it."""
    needed: bool = False
    """The project at hand needs it."""


class Checkup(Boundary):
    """What `doctor` says."""

    schema_version: Literal[1] = 1
    tool_version: str
    project: str | None
    machine: MachineFacts
    items: tuple[Item, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 when nothing that is needed is lacking; 7 for a lacking tool or place, 6 for what could not be reached."""
        lacking = [item for item in self.items if item.state is State.LACKING]
        if any(item.id not in NETWORK_ITEMS for item in lacking):
            return ExitCode.TOOL_MISSING
        unseen = any(item.needed and item.state is State.NOT_LOOKED_AT for item in self.items)
        return ExitCode.UNAVAILABLE if lacking or unseen else ExitCode.OK


NETWORK_ITEMS = ("packages", "weights", "clock")
"""Ids of the items that are about reaching others."""
