"""Run the `run:` steps of a GitHub workflow as its runner would: expressions, shells, environment and command files.

`uses:` steps are not run; their evaluated inputs are kept, for a test to look at or to act on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

Outcome = Literal["success", "failure", "skipped"]
SHELLS = {
    None: ("bash", "-e", "{0}"),
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail", "{0}"),
    "python": ("python", "{0}"),
}
"""What `shell:` stands for on Linux and macOS."""
_TOKENS = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+(?:\.\d+)?)|([A-Za-z_][\w-]*)|(==|!=|&&|\|\||[!().,*]))")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """How one step went."""

    name: str
    outcome: Outcome
    code: int = 0
    output: str = ""
    """Both streams, as the log shows them."""
    uses: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The evaluated `with:` of a `uses:` step."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """How one job went."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    summary: str

    @property
    def result(self) -> Outcome:
        return "failure" if any(step.outcome == "failure" for step in self.steps) else "success"

    def __getitem__(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


class Workflow:
    """A workflow file, and the machine that runs its jobs in `workspace`."""

    def __init__(
        self,
        path: Path,
        *,
        workspace: Path,
        temp: Path,
        environment: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
        github: Mapping[str, Any] | None = None,
    ) -> None:
        # The core schema of YAML 1.2, as GitHub has it: `on` is no truth value.
        self.content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        self.workspace, self.temp, self.environment = workspace, temp, environment
        self.contexts: dict[str, Any] = {
            "github": {"workspace": str(workspace), "event_name": "push", "ref": "refs/heads/main", **(github or {})},
            "vars": dict(variables or {}),
            "runner": {"temp": str(temp), "os": "Linux", "arch": "X64"},
        }
        self.count = 0

    def job(
        self,
        name: str,
        *,
        matrix: Mapping[str, Any] | None = None,
        needs: Mapping[str, Job | Mapping[str, Any]] | None = None,
        until: str | None = None,
        extra: Mapping[str, Mapping[str, str]] | None = None,
        act: Callable[[Step], None] | None = None,
    ) -> Job:
        """Run a job; `until` is its last step, `extra` adds variables to steps, `act` is what `uses:` steps do."""
        job = self.content["jobs"][name]
        contexts = {**self.contexts, "matrix": matrix or {}, "steps": {}, "status": "success"}
        contexts["needs"] = {
            other: {"result": done.result, "outputs": done.outputs} if isinstance(done, Job) else done
            for other, done in (needs or {}).items()
        }
        environment = {**self.environment, **_texts(job.get("env", {}), contexts)}
        summary, steps = self._file(), []
        for number, step in enumerate(job["steps"], 1):
            told = step.get("name") or step.get("uses") or step["run"]
            condition = str(step.get("if", "success()"))
            if not re.search(r"\b(always|failure|cancelled|success)\(", condition):
                condition = f"success() && ({condition.removeprefix('${{').removesuffix('}}')})"
            if not evaluate(condition, contexts, self.workspace):
                steps.append(Step(name=told, outcome="skipped"))
                continue
            if "uses" in step:
                given = {key: render(value, contexts, self.workspace) for key, value in step.get("with", {}).items()}
                done = Step(name=told, outcome="success", uses=step["uses"], given=given)
                if act is not None:
                    act(done)
            else:
                own = {**_texts(step.get("env", {}), contexts), **(extra or {}).get(told, {})}
                shell = step.get("shell", job.get("defaults", {}).get("run", {}).get("shell"))
                done, outputs = self._run(told, step["run"], shell, environment, own, contexts, summary)
                contexts["steps"][step.get("id", str(number))] = {"outputs": outputs, "outcome": done.outcome}
            if done.outcome == "failure" and step.get("continue-on-error") != "true":
                contexts["status"] = "failure"
            steps.append(done)
            if told == until:
                break
        outputs = _texts(job.get("outputs", {}), contexts)
        return Job(steps=tuple(steps), outputs=outputs, summary=summary.read_text(encoding="utf-8"))

    def _run(
        self,
        name: str,
        run: str,
        shell: str | None,
        environment: dict[str, str],
        own: Mapping[str, str],
        contexts: Mapping[str, Any],
        summary: Path,
    ) -> tuple[Step, dict[str, str]]:
        script, output, exported, path = self._file(), self._file(), self._file(), self._file()
        script.write_text(render(run, contexts, self.workspace), encoding="utf-8")
        done = subprocess.run(
            [part.format(script) for part in SHELLS[shell]],
            cwd=self.workspace,
            env={
                **environment,
                **own,
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_WORKSPACE": str(self.workspace),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_ENV": str(exported),
                "GITHUB_PATH": str(path),
                "GITHUB_STEP_SUMMARY": str(summary),
                "RUNNER_TEMP": str(self.temp),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        environment |= _pairs(exported)
        added = path.read_text(encoding="utf-8").splitlines()
        environment["PATH"] = os.pathsep.join([*reversed(added), environment["PATH"]])
        outcome: Outcome = "failure" if done.returncode else "success"
        return Step(name=name, outcome=outcome, code=done.returncode, output=done.stdout), _pairs(output)

    def _file(self) -> Path:
        self.count += 1
        path = self.temp / f"command-file-{self.count}"
        path.touch()
        return path


def render(text: str, contexts: Mapping[str, Any], workspace: Path) -> str:
    """Put the values of its expressions into a text."""
    return _EXPRESSION.sub(lambda match: _text(evaluate(match[1], contexts, workspace)), text)


def evaluate(expression: str, contexts: Mapping[str, Any], workspace: Path = Path()) -> Any:
    """Evaluate an expression, with or without its braces, as GitHub documents it."""
    inner = expression.strip()
    if inner.startswith("${{"):
        inner = inner.removeprefix("${{").removesuffix("}}")
    parser = _Parser(inner, contexts, workspace)
    value = parser.either()
    assert parser.at == len(parser.tokens), f"can't read {expression!r}"
    return value


class _Parser:
    def __init__(self, text: str, contexts: Mapping[str, Any], workspace: Path) -> None:
        self.contexts, self.workspace, self.at = contexts, workspace, 0
        self.tokens: list[tuple[str, str]] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            found = _TOKENS.match(text, place)
            assert found, f"can't read {text[place:]!r}"
            kind = ("text", "number", "name", "sign")[found.lastindex - 1]  # type: ignore[operator]
            self.tokens.append((kind, found[found.lastindex]))  # type: ignore[index]
            place = found.end()

    def take(self, *signs: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in [("sign", sign) for sign in signs]:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def either(self) -> Any:
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value or other
        return value

    def both(self) -> Any:
        value = self.equal()
        while self.take("&&"):
            other = self.equal()
            value = value and other
        return value

    def equal(self) -> Any:
        value = self.negated()
        while sign := self.take("==", "!="):
            other = self.negated()
            value = (_text(value).lower() == _text(other).lower()) == (sign == "==")
        return value

    def negated(self) -> Any:
        return not self.negated() if self.take("!") else self.operand()

    def operand(self) -> Any:
        if self.take("("):
            value = self.either()
            assert self.take(")")
            return value
        kind, token = self.tokens[self.at]
        self.at += 1
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return json.loads(token)
        assert kind == "name", token
        if self.take("("):
            return self.call(token)
        if token in ("true", "false", "null"):
            return json.loads(token)
        value: Any = self.contexts[token]
        while self.take("."):
            if self.take("*"):
                value = list(value.values())
                continue
            key = self.tokens[self.at][1]
            self.at += 1
            value = [one.get(key) for one in value] if isinstance(value, list) else (value or {}).get(key)
        return value

    def call(self, name: str) -> Any:
        given = []
        while not self.take(")"):
            given.append(self.either())
            self.take(",")
        match name:
            case "always":
                return True
            case "success" | "failure":
                return self.contexts["status"] == name
            case "cancelled":
                return False
            case "fromJSON":
                return json.loads(given[0])
            case "join":
                return given[1].join(map(_text, given[0]))
            case "format":
                return re.sub(r"\{(\d+)\}", lambda match: _text(given[int(match[1]) + 1]), given[0])
            case "hashFiles":
                return self.hash_files(given)
        raise AssertionError(f"unknown function {name}")

    def hash_files(self, patterns: list[str]) -> str:
        found = sorted({path for pattern in patterns for path in self.workspace.glob(pattern) if path.is_file()})
        hashes = b"".join(hashlib.sha256(path.read_bytes()).digest() for path in found)
        return hashlib.sha256(hashes).hexdigest() if found else ""


def _texts(values: Mapping[str, str], contexts: Mapping[str, Any]) -> dict[str, str]:
    return {key: render(value, contexts, Path()) for key, value in values.items()}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _pairs(path: Path) -> dict[str, str]:
    """Read a command file: `name=value` lines, and `name<<END` blocks."""
    found, rows = {}, iter(path.read_text(encoding="utf-8").splitlines())
    for row in rows:
        name, end = row.split("<<", 1) if re.match(r"[\w-]+<<", row) else (row, "")
        if end:
            block = []
            for line in rows:
                if line == end:
                    break
                block.append(line)
            found[name] = "\n".join(block)
        elif row:
            name, _, found_value = row.partition("=")
            found[name] = found_value
    return found
