"""Ask in a second or two whether a server answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

TIMEOUT = 2.0


def reach(url: str, *, timeout: float = TIMEOUT) -> str | None:
    """Ask for the head of `url`, by the proxies and certificates that are set; None when it answers, else why not.

    An answer of any kind below 500 counts, but for 401, 403 and 407: those say that this machine may not.
    """
    return reach_all({url: url}, timeout=timeout)[url]


def reach_all(urls: Mapping[str, str], *, timeout: float = TIMEOUT) -> dict[str, str | None]:
    """Ask several servers at once: key -> URL in, key -> None or why not out; never takes longer than `timeout`."""
    answers: dict[str, str | None] = dict.fromkeys(urls, f"no answer in {timeout:g} s")
    threads = [
        # Daemons: a name server that hangs can't be interrupted, and must not keep the command from ending.
        threading.Thread(target=_ask, args=(key, url, timeout, answers), daemon=True)
        for key, url in urls.items()
    ]
    for thread in threads:
        thread.start()
    _wait(threads, timeout)
    return dict(answers)


def _wait(threads: Iterable[threading.Thread], timeout: float) -> None:
    import time

    end = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _ask(key: str, url: str, timeout: float, answers: dict[str, str | None]) -> None:
    import requests

    try:
        with requests.head(url, timeout=timeout, allow_redirects=True) as answer:
            bad = answer.status_code >= 500 or answer.status_code in (401, 403, 407)
            answers[key] = f"answers {answer.status_code}" if bad else None
    except requests.exceptions.RequestException as error:
        answers[key] = _why(error)


def _why(error: Exception) -> str:
    """Say in a few words what stood in the way."""
    text = f"{type(error).__name__} {error}"
    for sign, words in (
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted here"),
        ("SSL", "no secure connection"),
        ("ProxyError", "the proxy refuses"),
        ("resolve", "its name is not known here"),
        ("getaddrinfo", "its name is not known here"),
        ("Connection refused", "the connection is refused"),
        ("unreachable", "the network is unreachable"),
        ("imeout", "no answer in time"),
    ):
        if sign in text:
            return words
    return type(error).__name__
