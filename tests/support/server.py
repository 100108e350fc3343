"""A local HTTP server that serves a folder and misbehaves on request."""

from __future__ import annotations

import mimetypes
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Fault:
    """What to do instead of serving a file; `times` limits it to the first requests (None: always)."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncate_at: int | None = None
    """Promise the full length, send this many bytes, close."""
    reset_at: int | None = None
    """Send this many bytes, then reset the connection."""
    flip_at: int | None = None
    """Flip a bit of the byte at this offset of the file."""
    delay: float = 0.0
    """Seconds to wait before each block of 64 KiB."""
    hang: float = 0.0
    """Seconds to wait before the answer begins."""
    ignore_range: bool = False
    whole_range: bool = False
    """Answer a range with all of the file, and say so (206, from 0)."""
    no_length: bool = False
    """Do not say how long the answer is; the end of the connection ends it."""
    etag: str | None = None
    """Say that the file is this version of itself."""
    times: int | None = None


@dataclass
class Request:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    at: float = field(default_factory=time.monotonic)


@dataclass
class Served:
    """A running server."""

    url: str
    folder: Path
    faults: dict[str, Fault] = field(default_factory=dict)
    """Path (with leading slash) -> fault; `*` is every path."""
    requests: list[Request] = field(default_factory=list)
    authorization: str | None = None
    """The value of the header of that name without which every answer is 401."""


@contextmanager
def serve(folder: Path, *, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """Serve `folder` on a free local port until the context ends; over https with `tls`."""
    served = Served(url="", folder=folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            pass

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _fault(self, path: str) -> Fault:
            fault = served.faults.get(path) or served.faults.get("*")
            if fault is None or fault.times == 0:
                return Fault()
            if fault.times is not None:
                fault.times -= 1
            return fault

        def _answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            served.requests.append(Request(self.command, path, dict(self.headers.items())))
            if served.authorization not in (None, self.headers.get("Authorization")):
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            fault = self._fault(path)
            time.sleep(fault.hang)
            if fault.status is not None:
                self.send_response(fault.status)
                for name, value in fault.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(fault.body)))
                self.end_headers()
                if body:
                    self.wfile.write(fault.body)
                return
            file = served.folder / path.lstrip("/")
            if file.is_dir():
                file = file / "index.html"
            if not file.is_file():
                self.send_error(404)
                return
            data = bytearray(file.read_bytes())
            if fault.flip_at is not None:
                data[fault.flip_at] ^= 1
            etag = fault.etag or f'"{file.stat().st_mtime_ns:x}-{file.stat().st_size:x}"'
            start, wanted = 0, self.headers.get("Range")
            if self.headers.get("If-Range", etag) != etag:
                wanted = None
            if wanted and wanted.startswith("bytes=") and not fault.ignore_range:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                start = int(first) if first else len(data) - int(last)
                if start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(data)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                stop = int(last) + 1 if first and last else len(data)
                start = 0 if fault.whole_range else start
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
                data = data[start:stop]
            else:
                self.send_response(200)
            for name, value in fault.headers.items():
                self.send_header(name, value)
            self.send_header("Accept-Ranges", "bytes")
            if "Content-Type" not in fault.headers:
                self.send_header("Content-Type", mimetypes.guess_type(file.name)[0] or "application/octet-stream")
            self.send_header("ETag", etag)
            if fault.no_length:
                self.close_connection = True
            elif "Content-Length" not in fault.headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self._send(bytes(data), fault)

        def _send(self, data: bytes, fault: Fault) -> None:
            limit = min(x for x in (fault.truncate_at, fault.reset_at, len(data)) if x is not None)
            try:
                for offset in range(0, limit, 1 << 16):
                    if fault.delay:
                        time.sleep(fault.delay)
                    self.wfile.write(data[offset : min(offset + (1 << 16), limit)])
            except OSError:
                self.close_connection = True
                return
            if limit < len(data):
                self.close_connection = True
                self.wfile.flush()
                if fault.reset_at is not None:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                    self.connection.close()
                else:
                    self.connection.shutdown(socket.SHUT_RDWR)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Keep quiet about clients that hang up: that is what tests make them do."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    served.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
