"""Block and record every attempt of this process, and of those that it forks, to reach the network."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
CALLS = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}
"""Audit event -> which of its arguments is the address: docs.python.org/3/library/audit_events.html."""
SPAWNS = (
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "os.startfile",
    "_winapi.CreateProcess",
)
SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "cmd", "powershell", "pwsh"))
_COMMAND = re.compile(
    r"""(?: ^ | [;&|\n(`{] | \b(?:then|do|else)\s | \s(?:-c|/c)\s+["']? )  # where a shell expects a command
        \s* (?:(?:exec|env|command|nohup|time|sudo|!|\w+=\S*)\s+)*       # what may stand before its name
        ([^\s;&|()`{}"'<>]+)""",
    re.VERBOSE,
)
"""Finds the names of the programs that a shell's line starts."""
NETWORK_PROGRAMS = frozenset(
    (
        "curl",
        "wget",
        "nc",
        "ncat",
        "netcat",
        "socat",
        "ssh",
        "scp",
        "sftp",
        "ftp",
        "telnet",
        "rsync",
        "git",
        "pip",
        "uv",
    )
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Watcher:
    """What was tried, what was started, and how it was watched."""

    def __init__(self, *, namespace: bool) -> None:
        self.namespace = namespace
        self.attempts: list[dict[str, str]] = []
        self.started: set[str] = set()
        self._sent = _native_attempts()
        self._process = os.getpid()
        self._children = _Notes() if hasattr(os, "fork") else None

    def record(self, event: str, arguments: tuple[object, ...]) -> None:
        """Note and refuse what would reach another machine; runs for every audit event, so it is quick to leave."""
        if event in CALLS:
            address = arguments[CALLS[event]]
            if not _stays_here(event, address):
                self._refuse(event, address)
        elif event in SPAWNS:
            self.start(event, _programs(event, arguments))

    def start(self, event: str, programs: list[str]) -> None:
        """Refuse programs that are there to reach the network, and note the others."""
        for program in programs:
            if program in NETWORK_PROGRAMS:
                self._refuse(event, program)
        for program in programs:
            self._note("started", {"call": event, "address": program})

    def _refuse(self, event: str, address: object) -> None:
        self._note("attempt", {"call": event, "address": str(address)[:200]})
        raise ConnectionRefusedError(f"the probe refuses {event} to {address}")

    def _note(self, kind: str, what: dict[str, str]) -> None:
        if self._children and os.getpid() != self._process:  # a forked child has lists of its own
            self._children.write({"kind": kind, **what})
        elif kind == "attempt":
            self.attempts.append(what)
        else:
            self.started.add(what["address"])

    def report(self, embeddings: dict[str, object]) -> dict[str, object]:
        """Give the privacy part of the answer; unavailable when nothing was embedded, unless something was tried."""
        for note in self._children.read() if self._children else ():
            self._note(note.pop("kind"), note)
        native = _native_attempts() - self._sent if self.namespace else 0
        if native > 0:
            address = f"{native} packets from native code, in a namespace without a route"
            self.attempts.append({"call": "kernel", "address": address})
        if "unavailable" in embeddings and not self.attempts:
            return {"unavailable": f"nothing was embedded: {embeddings['unavailable']}"}
        watched = ["socket", "namespace"] if self.namespace else ["socket"]
        return {"attempts": self.attempts, "watched": watched, "started": sorted(self.started)}


class _Notes:
    """Lines that forked children leave for the probe, in a pipe: it needs no disk, and a short write is whole.

    A full pipe (64 KiB) takes no more; that something was tried is known by then.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)

    def write(self, note: dict[str, str]) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._in, json.dumps(note).encode() + b"\n")

    def read(self) -> list[dict[str, str]]:
        found = b""
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._out, 1 << 16):
                found += block
        return [json.loads(line) for line in found.splitlines()]


def start() -> Watcher:
    """Leave the network where the system allows it, then watch Python's sockets; can't be undone in this process."""
    watcher = Watcher(namespace=sys.platform == "linux" and _leave_network())
    sys.addaudithook(watcher.record)
    _watch_multiprocessing(watcher)
    return watcher


def _watch_multiprocessing(watcher: Watcher) -> None:
    """Note programs that multiprocessing starts: POSIX Python has no audit event for its way of starting them."""
    try:
        import _posixsubprocess
    except ImportError:
        return
    original: Callable[..., int] = _posixsubprocess.fork_exec

    def fork_exec(arguments: Any, *others: Any) -> int:
        watcher.start("fork_exec", [_name(program) for program in arguments[:1]])
        return original(arguments, *others)

    _posixsubprocess.fork_exec = fork_exec


def _leave_network() -> bool:
    """Move into an empty network namespace; False where the system refuses."""
    if os.environ.get("NOMIC_SCAFFOLD_PROBE_NAMESPACE") == "0":
        return False
    user, group = os.getuid(), os.getgid()
    if user == 0 and _unshare(CLONE_NEWNET):
        return True
    if not _unshare(CLONE_NEWUSER | CLONE_NEWNET):
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            Path("/proc/self", name).write_text(text)
        except OSError:
            break  # without the map we are `nobody`, still without a network
    return True


def _unshare(flags: int) -> bool:
    try:
        if hasattr(os, "unshare"):  # Python 3.12
            os.unshare(flags)
            return True
        import ctypes

        return ctypes.CDLL(None, use_errno=True).unshare(flags) == 0
    except (OSError, AttributeError):
        return False


def _native_attempts() -> int:
    """Count packets that found no route, in this network namespace; what Python tries never gets so far."""
    count = 0
    for name in ("snmp", "snmp6"):
        try:
            lines = Path("/proc/self/net", name).read_text().splitlines()
        except OSError:
            continue
        if name == "snmp6":
            count += sum(int(line.split()[1]) for line in lines if line.split()[0] == "Ip6OutNoRoutes")
            continue
        rows = [line.split() for line in lines if line.startswith("Ip:")]
        if len(rows) == 2:
            count += int(dict(zip(*rows, strict=True)).get("OutNoRoutes", 0))
    return count


def _stays_here(event: str, address: object) -> bool:
    """Tell whether an address is a socket file, or (on Windows, where socketpair needs it) this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not isinstance(address, tuple):
        return True
    return sys.platform == "win32" and isinstance(address, tuple) and address[0] in _LOOPBACK


def _programs(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """Name the programs that a call starts; with a shell also those of its line."""
    if event == "os.system":
        return _of_line(os.fsdecode(arguments[0]))
    if event == "os.startfile":
        return [_name(arguments[0])]
    executable, command = arguments[1:3] if event == "os.spawn" else arguments[:2]
    words = _split(command) if isinstance(command, str) else [os.fsdecode(word) for word in command or ()]
    found = [_name(words[0] if words else executable)]
    for flag, line in itertools.pairwise(words) if found[0] in SHELLS else ():
        if flag.lower() in ("/c", "-command") or re.fullmatch(r"-\w*c", flag):
            found += _of_line(line)
    return found


def _split(line: str) -> list[str]:
    """Split a command of Windows, which is one line: the program, its first flag, and the rest without quotes."""
    quoted, plain, rest = (
        re.findall(r'\s*(?:"([^"]*)"|(\S+))(.*)', line, re.DOTALL)[0] if line.strip() else ("", "", "")
    )
    flag, _, tail = rest.strip().partition(" ")
    return [quoted or plain, flag, tail.strip('" ')]


def _of_line(line: str) -> list[str]:
    return [_name(program) for program in _COMMAND.findall(line)]


def _name(program: str | bytes | os.PathLike[str]) -> str:
    return Path(os.fsdecode(program)).stem.lower()
