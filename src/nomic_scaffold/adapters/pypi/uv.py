"""Run the uv program, listen to it, and say in our words what went wrong."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path

from nomic_scaffold.adapters.pypi.index import no_index, uv_environment
from nomic_scaffold.errors import (
    HashMismatchError,
    ScaffoldError,
    ToolMissingError,
    UnavailableError,
    UnsolvableError,
)


def run_uv(
    arguments: Sequence[str | Path],
    *,
    offline: bool,
    cwd: Path,
    listen: Callable[[str], None] | None = None,
    environ: Mapping[str, str] | None = None,
    index: bool = True,
    for_everyone: bool = False,
) -> str:
    """Run uv with pip's settings and give what it wrote on stdout; `listen` gets each line of its stderr.

    `index=False` is for what asks no index; `for_everyone` for making a lock (index.py). Raises ScaffoldErrors whose
    hint says what to do.
    """
    environ = os.environ if environ is None else environ
    options = ["--no-python-downloads", *(["--offline"] if offline else [])]
    if index and no_index(environ):
        options.append("--no-index")
    command = [_program(), *map(str, arguments), *options]
    said: list[str] = []
    # stdout goes to a file: two pipes read one after the other would block on a long answer.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=uv_environment(environ, for_everyone=for_everyone),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        code = _listen(process, said, listen)
        if code != 0:
            raise translate("".join(said), offline=offline)
        out.seek(0)
        return out.read().decode("utf-8", "replace")


def until(day: date | None) -> list[str]:
    """Give the option that hides what was published after the end of `day` (UTC); uv reads a bare date as local."""
    return ["--exclude-newer", f"{day + timedelta(days=1)}T00:00:00Z"] if day else []


def version() -> str:
    """Name the resolver as locks record it."""
    return f"uv/{metadata.version('uv')}"


def _listen(process: subprocess.Popen[str], said: list[str], listen: Callable[[str], None] | None) -> int:
    """Hear the process out and give its exit code; it does not outlive us."""
    assert process.stderr is not None
    try:
        for line in process.stderr:
            said.append(line)
            if listen is not None:
                listen(line.rstrip())
        return process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        process.stderr.close()


def translate(text: str, *, offline: bool) -> ScaffoldError:
    """Turn what uv said on failing into one of our errors, with secrets taken out."""
    text = redact(text)
    shown = _essence(text)
    wrong_bytes = HashMismatchError(
        f"the index served other bytes than the lock pins: {shown}",
        hint="try another index (pip config set global.index-url URL); if the release was replaced: "
        "nomic-scaffold lock",
    )
    if "Hash mismatch for" in text:
        return wrong_bytes
    for pattern, hint in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return UnavailableError(shown, hint=hint)
    if re.search(r"Bad CRC|failed to extract archive", text, re.IGNORECASE):
        return wrong_bytes
    if offline and re.search(r"offline|network connectivity is disabled|not found in the cache", text, re.IGNORECASE):
        return UnavailableError(
            f"without a network this needs files that uv has not got in its cache: {shown}",
            hint="run the same command once without --offline, or put the wheels into locks/wheels",
        )
    if re.search(r"missing an upload date", text):
        return UnavailableError(
            f"the index gives no publish times, and --exclude-newer goes by them: {shown}",
            hint="lock without --exclude-newer, or name an index that has them: pip config set global.index-url URL",
        )
    if "No solution found" in text:
        return UnsolvableError(shown, hint="loosen [pypi] requirements in scaffold.toml, or name the index that has it")
    return UnavailableError(f"uv failed: {shown}", hint="nomic-scaffold doctor shows what this machine lacks")


_CAUSES = (
    (
        r"no space left on device|os error 28|os error 112",
        "make room, then run the same command: nomic-scaffold doctor",
    ),
    (
        r"invalid peer certificate|UnknownIssuer|certificate verify",
        "name your certificates: pip config set global.cert FILE",
    ),
    (r"\b(401|403) (unauthorized|forbidden)", "the index wants a login: put it into pip's index-url, netrc or keyring"),
    (r"permission denied|os error 13", "make the project's folder writable"),
    (
        r"error sending request|dns error|failed to lookup|connection (refused|reset)|operation timed out|"
        r"tunnel error|status server error|\b(50\d|429) ",
        "check the network and pip's index: nomic-scaffold doctor, pip config list",
    ),
)


def redact(text: str) -> str:
    """Take user names and passwords out of URLs."""
    return re.sub(r"(?<=://)[^/\s@]+@", "***@", text)


def _essence(text: str) -> str:
    """Keep the part of uv's message that says why: from its first `error` or sign of failure on."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if line.startswith(("error", "×", "Error"))]
    kept = lines[starts[0] :] if starts else lines[-8:]
    kept = [re.sub(r"^(error: |× |├─▶ |╰─▶ |│ ?)+", "", line).strip() for line in kept]
    return " ".join(line for line in kept if line)[:900] or "no reason given"


def _program() -> str:
    import uv

    try:
        return os.fsdecode(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise ToolMissingError(
            "the uv program is not there", hint="reinstall nomic-scaffold: uv comes with it"
        ) from error
