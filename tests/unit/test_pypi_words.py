"""What uv says on failing, in our words; the texts are uv 0.13's own."""

from __future__ import annotations

import pytest

from nomic_scaffold.adapters.pypi.uv import redact, translate
from nomic_scaffold.errors import HashMismatchError, ScaffoldError, UnavailableError, UnsolvableError

FULL_CACHE = """\
Downloading pygments (1.2MiB)
error: Failed to download `pygments==2.21.0`
  cause: Failed to extract archive: pygments-2.21.0-py3-none-any.whl
  cause: I/O operation failed during extraction
  cause: failed to write to file `/c/.tmpQNcLyL/pygments/lexers/kuin.py`: No space left on device (os error 28)
"""
FULL_PROJECT = """\
Resolved 2 packages in 204ms
error: Failed to install: numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (numpy==2.4.6)
  cause: Failed to copy to `/p/e/lib/python3.11/site-packages/numpy.libs/libscipy_openblas64.so`
  cause: failed to copy file from /c/x.so to /p/e/numpy.libs/.tmpkS9K7C: No space left on device (os error 28)
"""
WRONG_HASH = """\
error: Failed to download `tea==1.0`
  cause: Hash mismatch for `tea==1.0`

Expected:
  sha256:f072f4d804ea359e4eaf198b1af7a8b0943881a87f31bb764f8bf219bb9419e0

Computed:
  sha256:b33da3ac99f2347b99fa0b83d7404c0b6ae10a63cd19d09b6ae4c74bcc3a6ea5
"""
DAMAGED = """\
error: Failed to download `tea==1.0`
  cause: Failed to extract archive: tea-1.0-py3-none-any.whl
  cause: Bad CRC (got 68de23ac, expected 1fd9133a) for file: tea/__init__.py
"""
REFUSED = """\
error: Request failed after 3 retries in 5.1s
  cause: Failed to fetch: `http://ann:hunter2@127.0.0.1:9/simple/tea/`
  cause: error sending request for url (http://ann:hunter2@127.0.0.1:9/simple/tea/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
UNTRUSTED = """\
error: Failed to fetch: `https://index.example/simple/tea/`
  cause: error sending request for url (https://index.example/simple/tea/)
  cause: client error (Connect)
  cause: invalid peer certificate: UnknownIssuer
"""
OFFLINE = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because tea was not found in the cache and you require tea==1.0, we can conclude that your requirements are
      unsatisfiable.

      hint: Packages were unavailable because the network was disabled. When the network is disabled, registry packages
      may only be read from the cache.
"""
NO_SOLUTION = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because only tea<=1.0 is available and you require tea>=2, we can conclude that your requirements are
      unsatisfiable.
"""


@pytest.mark.parametrize(
    ("text", "offline", "kind", "says", "hint"),
    [
        (FULL_CACHE, False, UnavailableError, "No space left", "make room"),
        (FULL_PROJECT, False, UnavailableError, "No space left", "make room"),
        (WRONG_HASH, False, HashMismatchError, "tea==1.0", "another index"),
        (DAMAGED, False, HashMismatchError, "Bad CRC", "another index"),
        (REFUSED, False, UnavailableError, "Connection refused", "doctor"),
        (UNTRUSTED, False, UnavailableError, "UnknownIssuer", "global.cert"),
        (OFFLINE, True, UnavailableError, "cache", "--offline"),
        (NO_SOLUTION, False, UnsolvableError, "only tea<=1.0 is available", "scaffold.toml"),
        ("thread panicked\n", False, UnavailableError, "thread panicked", "doctor"),
        ("", False, UnavailableError, "no reason given", "doctor"),
    ],
    ids=[
        "full-cache",
        "full-project",
        "hash",
        "damaged",
        "refused",
        "certificate",
        "offline",
        "unsolvable",
        "?",
        "mute",
    ],
)
def test_what_uv_says_becomes_a_cause_and_a_command(
    text: str, offline: bool, kind: type[ScaffoldError], says: str, hint: str
) -> None:
    error = translate(text, offline=offline)
    assert type(error) is kind
    assert says in error.message
    assert hint in (error.hint or "")
    assert "hunter2" not in error.message


def test_secrets_are_taken_out_of_urls() -> None:
    assert redact("see https://ann:hunter2@index.example/simple and ssh://git@x") == (
        "see https://***@index.example/simple and ssh://***@x"
    )
