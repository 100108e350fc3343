"""Block and record every attempt of this process to reach the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
SPAWNS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile")
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
    """What was tried, and how it was watched."""

    def __init__(self, *, namespace: bool) -> None:
        self.namespace = namespace
        self.attempts: list[dict[str, str]] = []
        self._sent = _native_attempts()

    def record(self, event: str, arguments: tuple[object, ...]) -> None:
        """Note and refuse what would reach another machine; runs for every audit event, so it is quick to leave."""
        if event in CALLS:
            address = arguments[CALLS[event]]
            if not _stays_here(event, address):
                self._refuse(event, address)
        elif event in SPAWNS and (program := _program(event, arguments)) in NETWORK_PROGRAMS:
            self._refuse(event, program)

    def _refuse(self, event: str, address: object) -> None:
        self.attempts.append({"call": event, "address": str(address)[:200]})
        raise ConnectionRefusedError(f"the probe refuses {event} to {address}")

    def report(self, embeddings: dict[str, object]) -> dict[str, object]:
        """Give the privacy part of the answer; unavailable when nothing was embedded, unless something was tried."""
        native = _native_attempts() - self._sent if self.namespace else 0
        if native > 0:
            address = f"{native} packets from native code, in a namespace without a route"
            self.attempts.append({"call": "kernel", "address": address})
        if "unavailable" in embeddings and not self.attempts:
            return {"unavailable": f"nothing was embedded: {embeddings['unavailable']}"}
        watched = ["socket", "namespace"] if self.namespace else ["socket"]
        return {"attempts": self.attempts, "watched": watched}


def start() -> Watcher:
    """Leave the network where the system allows it, then watch Python's sockets; can't be undone in this process."""
    watcher = Watcher(namespace=sys.platform == "linux" and _leave_network())
    sys.addaudithook(watcher.record)
    return watcher


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
    for name, wanted in (("snmp", ("Ip", "OutNoRoutes")), ("snmp6", ("Ip6OutNoRoutes",))):
        try:
            lines = Path("/proc/self/net", name).read_text().splitlines()
        except OSError:
            continue
        if name == "snmp6":
            count += sum(int(line.split()[1]) for line in lines if line.split()[0] in wanted)
            continue
        rows = [line.split() for line in lines if line.startswith("Ip:")]
        if len(rows) == 2:
            count += int(dict(zip(*rows, strict=True)).get(wanted[1], 0))
    return count


def _stays_here(event: str, address: object) -> bool:
    """Tell whether an address is a socket file, or (on Windows, where socketpair needs it) this machine."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not isinstance(address, tuple):
        return True
    return sys.platform == "win32" and isinstance(address, tuple) and address[0] in _LOOPBACK


def _program(event: str, arguments: tuple[object, ...]) -> str:
    if event == "os.system":
        words = os.fsdecode(arguments[0]).split()
    elif event == "subprocess.Popen":
        executable, command = arguments[0], arguments[1]
        first = command if isinstance(command, (str, bytes)) else command[0] if command else executable
        words = os.fsdecode(first).split()
    else:
        words = [os.fsdecode(arguments[1 if event == "os.spawn" else 0])]
    return Path(words[0]).stem.lower() if words else ""
