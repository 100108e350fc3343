"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.support.environments import nomic_environment, numpy_environment, torch_environment
from tests.support.projects import generated_project
from tests.support.tool_wheel import tool_wheel
from tests.support.weights import official_weights

__all__ = [
    "generated_project",
    "nomic_environment",
    "numpy_environment",
    "official_weights",
    "tool_wheel",
    "torch_environment",
]

# Two test processes on two cores: threads that wait for each other busily would make both crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell in the background ignores Ctrl-C, nohup a hangup, and so does every child: tests that send one would wait.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Golden copies of generated projects hold tests that are not ours; tests inside an environment run there.
collect_ignore_glob = ["data/*", "inside/*"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
