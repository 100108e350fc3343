"""Where a solve reads package records from: channels over the network, the cache alone, or a folder of records."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from nomic_scaffold.adapters.conda.client import CANONICAL, ChannelAccess, channel_access, redact
from nomic_scaffold.errors import InputError

CACHE_VARIABLE = "NOMIC_SCAFFOLD_REPODATA"
"""Environment variable that moves the cache of package records."""
FILES = ("repodata.json.zst", "repodata.json")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where records come from for one run."""

    access: ChannelAccess
    cache: Path
    offline: bool = False
    folder: Path | None = None

    def tried(self, channel: str) -> str:
        """Say where a channel was looked for, without credentials."""
        if self.folder is not None:
            return str(self.folder)
        if self.offline:
            return f"the cache {self.cache}"
        return redact(", ".join(self.access.resolve_all(address(channel))))

    def for_channels(self, channels: Iterable[str]) -> ChannelAccess:
        """Add the logins that these channels' addresses hold once their variables are filled in."""
        logins = dict(self.access.logins)
        for channel in channels:
            parts = urlsplit(os.path.expandvars(channel))
            user, found, host = parts.netloc.rpartition("@")
            if found:
                logins[host] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
        return replace(self.access, logins=logins)


def address(channel: str) -> str:
    """Give the address of a channel as environment.yml names it, without user and password.

    `${NAME}` is filled in as conda does.
    """
    parts = urlsplit(os.path.expandvars(channel).rstrip("/"))
    if not parts.scheme:
        return f"{CANONICAL}/{channel}"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def open_source(*, offline: bool = False, folder: Path | None = None) -> Iterator[Source]:
    """Open the user's channels, or `folder` in their place for the time of the context.

    `folder` holds `<subdir>/repodata.json.zst` (or .json), or that below a folder named like the channel; addresses in
    the records stay the channel's. Raises InputError when it holds neither.
    """
    access = channel_access(os.environ)
    with ExitStack() as stack:
        if folder is not None:
            if not folder.is_dir():
                raise InputError("is no folder", path=folder, hint="pass a folder with <subdir>/repodata.json.zst")
            url = stack.enter_context(_served(folder))
            access = ChannelAccess(mirrors={CANONICAL: (url,)}, logins={}, environment={})
        key = _key(access, folder)
        cache = _cache_root() / hashlib.sha256(key.encode()).hexdigest()[:16]
        cache.mkdir(parents=True, exist_ok=True)
        yield Source(access=access, cache=cache, offline=offline, folder=folder)


def _key(access: ChannelAccess, folder: Path | None) -> str:
    """Name what the records in a cache are of: a mirror's records must not pass for the channel's."""
    if folder is None:
        return json.dumps(sorted((source, *targets) for source, targets in access.mirrors.items()))
    files = sorted(path for name in FILES for path in folder.rglob(name))
    return json.dumps([[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files])


def _cache_root() -> Path:
    if moved := os.environ.get(CACHE_VARIABLE):
        return Path(moved)
    import platformdirs

    return platformdirs.user_cache_path("nomic-scaffold") / "repodata"


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve the record files of `folder` on this machine's loopback: rattler takes no mirror that is a folder."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            found = _file_for(folder, self.path)
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(found.stat().st_size if found else 0))
            if found:
                self.send_header("ETag", f'"{found.stat().st_mtime_ns:x}"')
            self.end_headers()
            if body and found:
                self.wfile.write(found.read_bytes())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _file_for(folder: Path, path: str) -> Path | None:
    """Find the record file for `/<channel>/<subdir>/repodata.json.zst`; no other file is ever given out."""
    *channel, subdir, name = path.partition("?")[0].strip("/").split("/") if path.count("/") >= 2 else ("", "", "")
    if name not in FILES or ".." in path:
        return None
    for place in (folder.joinpath(*channel, subdir, name), folder / subdir / name):
        if place.is_file():
            return place
    return None
