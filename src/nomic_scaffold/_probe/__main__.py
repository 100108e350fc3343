"""Embed what is asked for on stdin with the project's own code, watched; one JSON on stdout.

Run as `python -I -B FOLDER` by the environment's own Python. Needs the standard library, numpy and the project.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    """Answer one request. Whatever else prints to stdout, from Python or from C, goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    request = json.load(sys.stdin)

    import watch  # before everything that could open a socket

    watcher = watch.start()

    import cases

    embeddings = cases.run(request)
    json.dump({"embeddings": embeddings, "privacy": watcher.report(embeddings)}, answer)
    answer.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # native libraries can crash while the interpreter shuts down; the answer is out
