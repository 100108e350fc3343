"""Find a wheel where pip would: pip's own configuration names the indexes, certificates and proxies."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from nomic_scaffold.adapters.weights.failures import RefusedError, SourceError
from nomic_scaffold.adapters.weights.http import Patience, Remote, get_page, open_session
from nomic_scaffold.models.weights import Part

if TYPE_CHECKING:
    from requests import Session

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class PipSettings:
    """What pip would use for a download."""

    program: tuple[str, ...] | None
    """How to run pip; None when this machine has none."""
    indexes: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None


def read_settings(environ: Mapping[str, str], *, python: str = sys.executable) -> PipSettings:
    """Ask pip for its configuration, or uv for its index where there is no pip; raise SourceError without both."""
    program, listing = _find_pip(environ, python)
    if program is None:
        index = environ.get("PIP_INDEX_URL") or _index_of_uv(environ)
        if not index:
            raise SourceError("this machine has neither pip nor uv to name a package index")
        return PipSettings(program=None, indexes=(index, *environ.get("PIP_EXTRA_INDEX_URL", "").split()))
    values = _configuration(listing)
    if values.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        indexes: tuple[str, ...] = ()
    else:
        first = values.get("index-url") or _default_index(program, environ)
        indexes = (*((first,) if first else ()), *values.get("extra-index-url", "").split())
    return PipSettings(
        program=program,
        indexes=indexes,
        find_links=tuple(values.get("find-links", "").split()),
        cert=values.get("cert"),
        client_cert=values.get("client-cert"),
        proxy=values.get("proxy"),
    )


def session_for(settings: PipSettings) -> Session:
    """Make a session with pip's certificates and proxy."""
    session = open_session()
    if settings.cert:
        session.verify = settings.cert
    if settings.client_cert:
        session.cert = settings.client_cert
    if settings.proxy:
        session.proxies = {"http": settings.proxy, "https": settings.proxy}
    return session


def locate(part: Part, settings: PipSettings, *, session: Session, patience: Patience) -> Path | Remote:
    """Find the wheel of `part`: a local file, or an address at the first index that has it.

    Raises SourceError with what each place said; RefusedError when one wants what only pip may know.
    """
    for place in settings.find_links:
        if (folder := _local(place)) and (folder / part.wheel).is_file():
            return folder / part.wheel
    if not settings.indexes:
        raise SourceError("pip's configuration names no index")
    said: list[str] = []
    refused = False
    for index in settings.indexes:
        try:
            found = _at_index(index, part, session, patience)
        except SourceError as error:
            refused |= isinstance(error, RefusedError)
            said.append(error.reason)
            continue
        if found is not None:
            return found
    reason = "; ".join(dict.fromkeys(said)) or f"no index has {part.project} {part.version}"
    raise RefusedError(reason) if refused else SourceError(reason)


def download_with_pip(part: Part, settings: PipSettings, folder: Path, environ: Mapping[str, str]) -> Path:
    """Let pip itself fetch the wheel of `part` into `folder`: it may know a keyring or a certificate that we don't."""
    assert settings.program is not None
    requirement = f"{part.project}=={part.version} --hash=sha256:{part.sha256}\n"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as work:
        listing = Path(work) / "requirements.txt"
        listing.write_text(requirement, encoding="utf-8")
        command = [*settings.program, "download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:"]
        command += ["--require-hashes", "--progress-bar", "off", "--no-input", "--dest", work, "-r", str(listing)]
        done = subprocess.run(  # the program is pip, found above
            command,
            env={**environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), work)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        wheel = Path(work) / part.wheel
        if done.returncode != 0 or not wheel.is_file():
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            raise SourceError("pip: " + (errors[-1].removeprefix("ERROR: ") if errors else "gave no file"))
        return wheel.replace(folder / part.wheel)


def _find_pip(environ: Mapping[str, str], python: str) -> tuple[tuple[str, ...] | None, str]:
    """Give the first pip that runs, and the configuration that it lists."""
    path = environ.get("PATH", os.defpath)
    candidates: list[tuple[str, ...]] = [(python, "-m", "pip")]
    candidates += [(found,) for name in ("pip3", "pip") if (found := shutil.which(name, path=path))]
    candidates += [(found, "-m", "pip") for name in ("python3", "python") if (found := shutil.which(name, path=path))]
    for program in candidates:
        listing = _run([*program, "config", "list"], environ)
        if listing is not None:
            return program, listing
    return None, ""


def _run(command: list[str], environ: Mapping[str, str]) -> str | None:
    """Give what a program prints; None when it fails, hangs or is not there."""
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "1000", "NO_COLOR": "1"}
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            env={**environ, **quiet},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
    return None


def _configuration(listing: str) -> dict[str, str]:
    """Read `pip config list`: the environment wins over [download], and that over [global]."""
    values: dict[str, str] = {}
    for section in ("global", "download", ":env:"):
        for line in listing.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith(section + "."):
                with suppress(ValueError, SyntaxError):
                    values[key.removeprefix(section + ".")] = str(ast.literal_eval(value))
    return values


def _default_index(program: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    """Read pip's built-in index out of its help, the only place where it tells."""
    text = _run([*program, "download", "--help"], environ) or ""
    found = re.search(r"--index-url <url>.*?\(default\s+([^\s)]+)\)", text, re.DOTALL)
    return found[1] if found else None


def _index_of_uv(environ: Mapping[str, str]) -> str | None:
    """Ask uv, which came with this tool, for its index."""
    from uv import find_uv_bin

    with suppress(FileNotFoundError), tempfile.TemporaryDirectory() as empty:
        source = Path(empty) / "requirements.in"
        source.touch()
        command = [find_uv_bin(), "pip", "compile", "--quiet", "--offline", "--emit-index-url"]
        command += ["--python", sys.executable, str(source)]
        found = re.search(r"^--index-url (\S+)$", _run(command, environ) or "", re.MULTILINE)
        return found[1] if found else None
    return None


def _at_index(index: str, part: Part, session: Session, patience: Patience) -> Path | Remote | None:
    if folder := _local(index):
        file = folder / part.project / part.wheel
        return file if file.is_file() else None
    address, auth = _without_password(index)
    page = f"{address.rstrip('/')}/{part.project}/"
    response = get_page(page, accept=_ACCEPT, auth=auth, session=session, patience=patience)
    if response.status_code == HTTPStatus.NOT_FOUND:
        return None
    is_json = response.headers.get("Content-Type", "").startswith(_JSON)
    try:
        links = list(_json_links(response.json()) if is_json else _html_links(response.text))
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{urlsplit(page).hostname} does not answer as a package index does") from error
    for name, link in links:
        if name == part.wheel:
            url = urljoin(response.url, link).partition("#")[0]
            same = urlsplit(url).netloc == urlsplit(address).netloc
            return Remote(url=url, size=part.size, sha256=part.sha256, auth=auth if same else None)
    return None


def _json_links(page: object) -> Iterator[tuple[str, str]]:
    files = page.get("files", []) if isinstance(page, dict) else []
    for file in files:
        yield file["filename"], file["url"]


def _html_links(text: str) -> Iterator[tuple[str, str]]:
    """Read (file name, address) of each link, made absolute where the page has a <base>."""
    parser = _Links()
    parser.feed(text)
    for link in parser.links:
        target = urljoin(parser.base, link) if parser.base else link
        yield unquote(urlsplit(target).path.rpartition("/")[2]), target


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.base, self.links = "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if target and tag == "a":
            self.links.append(target)
        elif target and tag == "base":
            self.base = target


def _local(place: str) -> Path | None:
    """Give the folder that a file URL or a path names; None for what lies elsewhere."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        from urllib.request import url2pathname

        return Path(url2pathname(parts.path))
    return Path(place).expanduser() if "://" not in place else None


def _without_password(url: str) -> tuple[str, tuple[str, str] | None]:
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    host = parts.netloc.rpartition("@")[2]
    auth = (unquote(parts.username), unquote(parts.password or ""))
    return urlunsplit(parts._replace(netloc=host)), auth
