"""Download one file whose hash is known: resumable, retried, and never believed."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nomic_scaffold import __version__
from nomic_scaffold.adapters.weights.failures import RefusedError, SourceError, WrongBytesError
from nomic_scaffold.adapters.weights.writing import remove, write_all
from nomic_scaffold.formats.retry_after import retry_after
from nomic_scaffold.models.progress import Meter

if TYPE_CHECKING:
    from requests import Response, Session
    from requests.auth import AuthBase

BLOCK = 1 << 14
"""Small, because a block that breaks off in the middle is lost."""
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_REFUSED = {401, 403, 407}


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 5.0
    """For a name to resolve, and again for a connection."""
    read: float = 30.0
    """For the next byte."""
    attempts: int = 5
    """In a row that bring no new byte."""
    first_wait: float = 0.5
    """Before the second attempt; doubles with each."""
    longest_wait: float = 60.0
    """A server that asks for more is given up."""
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Where bytes are, and what they must be."""

    url: str
    size: int
    sha256: str
    auth: AuthBase | tuple[str, str] | None = None


class _BrokenError(Exception):
    """An attempt ended early; another one may go on from there."""

    def __init__(self, reason: str, *, wait: float | None = None, connected: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.connected = reason, wait, connected


class _MixedError(Exception):
    """What lies on the disk and what the server has do not fit together: start from nothing."""


def open_session() -> Session:
    """Make a session with this tool's name; proxies, certificates and netrc come from the environment."""
    import requests

    session = requests.Session()
    session.headers["User-Agent"] = f"nomic-scaffold/{__version__}"
    return session


def download(remote: Remote, part: Path, *, session: Session, meter: Meter, patience: Patience) -> None:
    """Fetch `remote` into `part`, going on from the bytes that are there; return when the hash is right.

    Raises SourceError when the server can't or won't, WrongBytesError (and deletes `part`) when it lies.
    """
    run = _Run(remote, part, session, meter, patience)
    if run.have < remote.size:
        require_host(remote.url, session, patience)
    retries, restarted = _Retries(patience), False
    while True:
        before = run.have
        try:
            if run.have < remote.size:
                run.stream()
            run.finish()
        except _BrokenError as error:
            retries.wait(error, news=run.have > max(before, retries.most))
            retries.most = max(run.have, retries.most)
        except _MixedError:
            if restarted:
                run.discard()
                raise WrongBytesError("gave other bytes than the pinned ones") from None
            run.start_over()
            retries, restarted = _Retries(patience), True
        except WrongBytesError:
            run.discard()
            raise
        else:
            return


def get_page(url: str, *, accept: str, auth: tuple[str, str] | None, session: Session, patience: Patience) -> Response:
    """Read a small page whole; raises SourceError when there is no answer, and for any answer but 200 and 404."""
    require_host(url, session, patience)
    retries = _Retries(patience)
    while True:
        try:
            with _get(session, url, {"Accept": accept}, auth, patience) as response:
                _refuse(response, fine=(HTTPStatus.OK, HTTPStatus.NOT_FOUND))
                assert response.content is not None  # reads the whole body while errors are caught
                return response
        except _BrokenError as error:
            retries.wait(error, news=False)


class _Retries:
    """Counts attempts that brought nothing, and waits between them."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._failures = patience, 0
        self.most = 0

    def wait(self, error: _BrokenError, *, news: bool) -> None:
        """Wait for the next attempt, or raise SourceError when there have been enough."""
        self._failures = 0 if news else self._failures + 1
        if self._failures >= self._patience.attempts or not error.connected:
            raise SourceError(error.reason) from error
        if error.wait is not None and error.wait > self._patience.longest_wait:
            raise SourceError(f"{error.reason} and asks to wait {error.wait:.0f} s") from error
        backoff = self._patience.first_wait * 2.0 ** max(0, self._failures - 1)
        self._patience.sleep(min(self._patience.longest_wait, backoff) if error.wait is None else error.wait)


@contextmanager
def _get(
    session: Session, url: str, headers: dict[str, str], auth: AuthBase | tuple[str, str] | None, patience: Patience
) -> Iterator[Response]:
    """Open an answer; what the transport raises meanwhile becomes _BrokenError or SourceError."""
    import requests
    import urllib3

    times = (patience.connect, patience.read)
    try:
        # `verify` with each request: a session's own loses to REQUESTS_CA_BUNDLE.
        with session.get(
            url, headers=headers, auth=auth, stream=True, timeout=times, verify=session.verify
        ) as response:
            yield response
    except (requests.RequestException, urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise _problem(error, url, patience) from error


def _refuse(response: Response, *, fine: tuple[int, ...]) -> None:
    """Raise for every status that is not `fine`."""
    status = response.status_code
    if status in fine:
        return
    said = f"answered {status} {response.reason or ''}".strip()
    if status in _AGAIN:
        raise _BrokenError(said, wait=retry_after(response.headers.get("Retry-After")))
    raise RefusedError(said) if status in _REFUSED else SourceError(said)


class _Run:
    """The bytes so far, on disk and in the hash."""

    def __init__(self, remote: Remote, part: Path, session: Session, meter: Meter, patience: Patience) -> None:
        self._remote, self._part, self._session = remote, part, session
        self._meter, self._patience = meter, patience
        self._tag = part.with_name(part.name + ".etag")
        self._hash = hashlib.sha256()
        self._answers = 0
        self._from_disk = False
        self.have = 0
        part.parent.mkdir(parents=True, exist_ok=True)
        if part.exists():
            self._hash_what_is_there()

    def _hash_what_is_there(self) -> None:
        with self._part.open("rb") as file:
            while block := file.read(1 << 20):
                self._hash.update(block)
                self.have += len(block)
                self._meter.advance(len(block))
        self._from_disk = self.have > 0
        if self.have > self._remote.size:
            self.start_over()

    def start_over(self) -> None:
        """Forget the bytes so far."""
        self._part.write_bytes(b"")
        self._tag.unlink(missing_ok=True)
        self._meter.advance(-self.have)
        self._hash, self.have, self._answers, self._from_disk = hashlib.sha256(), 0, 0, False

    def discard(self) -> None:
        """Delete what was fetched."""
        self._meter.advance(-self.have)
        remove(self._part)
        remove(self._tag)

    def finish(self) -> None:
        """Judge the whole file by its hash."""
        if self.have < self._remote.size:
            raise _BrokenError(f"broke off after {self.have:,} of {self._remote.size:,} bytes")
        if self._hash.hexdigest() != self._remote.sha256:
            if self._from_disk or self._answers > 1:
                raise _MixedError
            raise WrongBytesError(f"gave other bytes (sha256 {self._hash.hexdigest()})")
        self._tag.unlink(missing_ok=True)

    def stream(self) -> None:
        """Ask for the rest and take what comes."""
        with _get(self._session, self._remote.url, self._headers(), self._remote.auth, self._patience) as response:
            self._accept(response)
            with self._part.open("ab", buffering=0) as file:
                for block in response.iter_content(BLOCK):
                    self._take(block, file)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
            with suppress(OSError, ValueError):
                seen = json.loads(self._tag.read_text(encoding="utf-8"))
                if seen["url"] == self._remote.url:
                    headers["If-Range"] = seen["etag"]
        return headers

    def _accept(self, response: Response) -> None:
        status = response.status_code
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _MixedError
        _refuse(response, fine=(HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT))
        if status == HTTPStatus.OK and self.have:
            self.start_over()
        total = self._promised(response)
        if total is not None and total != self._remote.size:
            kind = response.headers.get("Content-Type", "unknown type").partition(";")[0]
            raise WrongBytesError(f"has {total:,} bytes ({kind}) instead of {self._remote.size:,}")
        self._answers += 1
        etag = response.headers.get("ETag")
        if etag and not etag.startswith("W/"):
            self._tag.write_text(json.dumps({"url": self._remote.url, "etag": etag}), encoding="utf-8")

    def _promised(self, response: Response) -> int | None:
        """Read the size of the whole file from the headers; None when they don't say."""
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if span.partition("-")[0] != str(self.have):
                raise _MixedError
            return int(total) if total.isdigit() else None
        length = response.headers.get("Content-Length", "")
        plain = response.headers.get("Content-Encoding", "identity") == "identity"
        return int(length) if plain and length.isdigit() else None

    def _take(self, block: bytes, file: io.RawIOBase) -> None:
        if self.have + len(block) > self._remote.size:
            raise WrongBytesError(f"gave more than {self._remote.size:,} bytes")
        write_all(self._part, file, block, missing=self._remote.size - self.have)
        self._hash.update(block)
        self.have += len(block)
        self._meter.advance(len(block))


def require_host(url: str, session: Session, patience: Patience) -> None:
    """Raise SourceError within seconds when the host's name does not resolve, however slow the resolver is."""
    import requests

    settings = session.merge_environment_settings(url, {}, None, None, None)
    host = urlsplit(requests.utils.select_proxy(url, settings["proxies"]) or url).hostname or ""
    found: list[OSError | None] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None)
            found.append(None)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(patience.connect)
    if not found:
        raise SourceError(f"no answer to where {host} is within {patience.connect:g} s")
    if found[0] is not None:
        raise SourceError(f"can't find the host {host} (no network?)")


def _problem(error: Exception, url: str, patience: Patience) -> Exception:
    """Say in plain words what a request died of, without the address, which may hold a password."""
    import requests
    import urllib3

    host = urlsplit(url).hostname
    if isinstance(error, requests.exceptions.SSLError):
        return RefusedError(
            f"the certificate of {host} is not trusted here (REQUESTS_CA_BUNDLE names a file of others)"
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return SourceError(f"the proxy gave no connection to {host}")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return _BrokenError(f"no connection to {host} within {patience.connect:g} s", connected=False)
    if isinstance(error, requests.exceptions.ReadTimeout) or "Read timed out" in str(error):
        return _BrokenError(f"sent nothing for {patience.read:g} s")
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)):
        return _BrokenError("broke off the transfer")
    if isinstance(error, (requests.ConnectionError, ConnectionError)):
        cause = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            return _BrokenError(f"no connection to {host}", connected=False)
        return _BrokenError(f"lost the connection to {host}")
    return SourceError(f"request failed ({type(error).__name__})")
