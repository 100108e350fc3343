"""Ask in a second or two whether a server answers."""

from __future__ import annotations

import datetime as dt
import email.utils
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TIMEOUT = 2.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of asking a server."""

    why_not: str | None
    """None when it answers."""
    clock_offset: float | None = None
    """Seconds that this clock is behind the server's, where it says what time it has."""


def reach(url: str, *, timeout: float = TIMEOUT) -> Answer:
    """Ask for the head of `url`, by the proxies and certificates that are set.

    An answer of any kind counts, but for 403, 407 and from 500 on: those say that this machine gets nothing from there.
    """
    return reach_all({url: url}, timeout=timeout)[url]


def reach_all(urls: Mapping[str, str], *, timeout: float = TIMEOUT) -> dict[str, Answer]:
    """Ask several servers at once: key -> URL in, key -> answer out; never takes longer than `timeout`."""
    answers = dict.fromkeys(urls, Answer(why_not=f"no answer in {timeout:g} s"))
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
    end = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _ask(key: str, url: str, timeout: float, answers: dict[str, Answer]) -> None:
    import requests

    try:
        with requests.head(url, timeout=timeout, allow_redirects=True) as answer:
            bad = answer.status_code >= 500 or answer.status_code in (403, 407)
            why = f"answers {answer.status_code}" if bad else None
            answers[key] = Answer(why_not=why, clock_offset=_offset(answer.headers.get("Date")))
    except (requests.exceptions.RequestException, ValueError) as error:
        answers[key] = Answer(why_not=_why(error))


def _offset(date: str | None) -> float | None:
    try:
        told = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (told - dt.datetime.now(dt.UTC)).total_seconds() if told.tzinfo else None


def _why(error: Exception) -> str:
    """Say in a few words what stood in the way."""
    text = f"{type(error).__name__} {error}"
    for sign, words in (
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted here"),
        ("InvalidProxyURL", "the proxy's address can't be read"),
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
