"""The commands that mend a machine, as its system's people type them: Linux, macOS, Windows' PowerShell."""

from __future__ import annotations

from typing import Literal

System = Literal["linux", "osx", "win"]

_MEMORY: dict[System, str] = {
    "linux": "ps aux --sort=-rss | head shows what to close",
    "osx": "top -l 1 -o mem -n 10 shows what to close",
    "win": "Get-Process | Sort-Object WS -Descending | Select-Object -First 10 shows what to close",
}
_ROOM: dict[System, str] = {
    "linux": "make room: du -xhd 2 ~ | sort -h | tail shows what is large",
    "osx": "make room: du -xhd 2 ~ | sort -h | tail shows what is large",
    "win": "make room: cleanmgr",
}
_PACKAGES: dict[System, dict[str, str]] = {
    "linux": {"git": "sudo apt-get install git", "docker": "sudo apt-get install docker.io"},
    "osx": {"git": "xcode-select --install", "docker": "brew install --cask docker"},
    "win": {"git": "winget install Git.Git", "docker": "winget install Docker.DockerDesktop"},
}
_CLOCK: dict[System, str] = {
    "linux": "sudo timedatectl set-ntp true",
    "osx": "sudo sntp -sS pool.ntp.org",
    "win": "w32tm /resync",
}
_NEWER_SYSTEM: dict[System, str] = {
    "linux": "sudo apt-get update && sudo apt-get full-upgrade, or your system's way to a newer release",
    "osx": "softwareupdate --install --all",
    "win": "start ms-settings:windowsupdate",
}


def system(platform: str) -> System:
    """Tell the system of a conda platform, e.g. `win-64`; what is unknown counts as Linux."""
    match platform.partition("-")[0]:
        case "osx":
            return "osx"
        case "win":
            return "win"
        case _:
            return "linux"


def set_variable(on: System, name: str, value: str) -> str:
    """Set an environment variable for the commands to come."""
    return f'$env:{name} = "{value}"' if on == "win" else f'export {name}="{value}"'


def unset_variables(on: System, names: list[str]) -> str:
    """Take environment variables away."""
    if on == "win":
        return "Remove-Item " + ", ".join(f"Env:{name}" for name in names)
    return "unset " + " ".join(names)


def let_write(on: System, path: str) -> str:
    """Give oneself the right to write a folder."""
    if on == "win":
        return f'icacls "{path}" /grant "${{env:USERNAME}}:(OI)(CI)M"'
    return f'sudo chown -R "$USER" "{path}"'


def free_room(on: System) -> str:
    """Find what fills a disk."""
    return _ROOM[on]


def free_memory(on: System) -> str:
    """Find what fills the memory."""
    return _MEMORY[on] + "; in a container: docker run --memory 4g"


def get_program(on: System, name: Literal["git", "docker"]) -> str:
    """Install a program."""
    return _PACKAGES[on][name]


def set_clock(on: System) -> str:
    """Set the clock by the network."""
    return _CLOCK[on]


def newer_system(on: System) -> str:
    """Get a newer release of the system."""
    return _NEWER_SYSTEM[on]
