"""Write docs/reference from the code: `python docs/generate.py`; with `--check` only say whether the pages are true."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from nomic_scaffold.checks.causes import CAUSES
from nomic_scaffold.checks.codes import CODES, Code
from nomic_scaffold.cli.main import COMMANDS, cli
from nomic_scaffold.errors import ExitCode, ScaffoldError
from nomic_scaffold.formats.report_words import TITLES
from nomic_scaffold.models.evidence import Evidence
from nomic_scaffold.models.report import PREFIXES, Report

FOLDER = Path(__file__).resolve().parent / "reference"
PREFIX = "NOMIC_SCAFFOLD"
VARIABLES = {
    "NOMIC_SCAFFOLD_STORE": "folder of the store of model files, shared by projects",
    "NOMIC_SCAFFOLD_PKGS": "folder of the cache of conda packages",
    "NOMIC_SCAFFOLD_WEIGHTS": "folder where a generated project's code finds its model file",
    "NOMIC_SCAFFOLD_DEVICE": "what a generated project's code computes on where nobody says it: `cpu`, `cuda:1`, ...",
    "HF_ENDPOINT, HF_TOKEN": "another address of the model hub, and a token for it",
    "CI": "`true`: no question, no progress bar, never a silent re-lock",
    "GITHUB_ACTIONS": "`true`: `verify` also writes annotations",
    "NO_COLOR, FORCE_COLOR": "as everywhere: no colour, or colour into a pipe too",
}
MADE = "<!-- Made by docs/generate.py from the code; never edit by hand. -->\n\n"


def pages() -> dict[str, str]:
    """Give every generated page by its name."""
    return {
        "commands.md": commands(),
        "checks.md": checks(),
        "exit-codes.md": exit_codes(),
        "report.schema.json": json.dumps(Report.model_json_schema(), indent=2) + "\n",
        "evidence.schema.json": json.dumps(Evidence.model_json_schema(), indent=2) + "\n",
    }


def commands() -> str:
    """Describe every command and option."""
    parts = [
        f"{MADE}# Commands\n\nEvery option can be given as an environment variable too; its name stands beside it. "
        "`CI=true` means no question, no progress bar and never a silent re-lock.\n\n"
        "Data goes to stdout, talk to stderr. [Exit codes](exit-codes.md) are the same for all commands.\n",
        _command(cli, ["nomic-scaffold"], title="Global options"),
    ]
    with click.Context(cli, info_name="nomic-scaffold") as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            assert command is not None
            parts += _tree(command, ["nomic-scaffold", name])
    parts.append("## Other environment variables\n\n| variable | what it does |\n|---|---|\n" + _variables())
    return "\n".join(parts)


def _variables() -> str:
    return "".join(f"| `{name}` | {words} |\n" for name, words in VARIABLES.items())


def _tree(command: click.Command, path: list[str]) -> Iterator[str]:
    yield _command(command, path)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _tree(inner, [*path, name])


def _command(command: click.Command, path: list[str], *, title: str | None = None) -> str:
    level = "#" * min(4, len(path) + (1 if title else 0))
    context = click.Context(command, info_name=path[-1])
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    lines = [f"{level} {title or ' '.join(path)}\n"]
    if command.help:
        lines.append(_prose(command.help) + "\n")
    lines.append(f"```\n{usage}\n```\n")
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if arguments:
        lines.append("".join(f"- `{p.make_metavar(context)}`{_kind(p)}\n" for p in arguments))
    if options:
        rows = "".join(_option(option, path, context) for option in options)
        lines.append("| option | what it does | environment variable |\n|---|---|---|\n" + rows)
    return "\n".join(lines)


def _option(option: click.Option, path: list[str], context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None, option.name
    names, text = record
    name = variable(option, path)
    cells = (f"`{names}`", _prose(text), f"`{name}`" if name else "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def variable(option: click.Option, path: list[str]) -> str | None:
    """Name the environment variable of an option; None for what only makes sense on the command line."""
    if option.is_eager and not option.expose_value:
        return None
    automatic = "_".join([PREFIX, *path[1:], option.name or ""]).replace("-", "_").upper()
    return str(option.envvar or automatic)


def _kind(argument: click.Argument) -> str:
    return "" if argument.required else " (optional)"


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.replace("\b", "").strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def checks() -> str:
    """Describe every code, and every cause that a failed golden check can name."""
    parts = [
        f"{MADE}# Check codes\n\nWhat `nomic-scaffold verify` can say. Codes are permanent: a code never comes to mean "
        "something else. Each check ends as pass, warn, fail or unknown; unknown means that it could not be looked at, "
        "and is never a pass ([exit code](exit-codes.md) 6).\n"
    ]
    for prefix, group in PREFIXES.items():
        declared = [code for code in CODES.values() if code.code.startswith(prefix)]
        if declared:
            parts.append(f"## {TITLES[group]}\n")
            parts += [_code(code) for code in declared]
    parts.append(
        "## Causes\n\nWhen EMB018 or EMB019 fails, the pattern of deviations names the likeliest cause. They are "
        "looked for in this order; what arithmetic can undo comes first.\n"
    )
    parts += [f"### {cause.id}\n\n{_sentence(cause.sentence)} Mend: {cause.hint}.\n" for cause in CAUSES.values()]
    return "\n".join(parts)


def _code(code: Code) -> str:
    return f"### {code.code}\n\n**{_sentence(code.title)}.** {code.explanation}\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def exit_codes() -> str:
    """Describe what the process says to the shell."""
    words = {
        ExitCode.OK: "all that was asked for was done, and all that was checked is right",
        ExitCode.CHECK_FAILED: "a check failed (with `--strict`: or warned)",
        ExitCode.BUG: "a bug of this tool; please report it with the lines above it",
        ExitCode.INTERRUPTED: "interrupted; the same command goes on where it stopped",
    }
    for error in ScaffoldError.__subclasses__():
        words.setdefault(error.exit_code, re.sub(r" \(exit \d+\).*", "", (error.__doc__ or "").split("\n")[0]))
    missing = [code.name for code in ExitCode if code not in words]
    assert not missing, f"no words for {missing}"
    rows = "".join(f"| {int(code)} | {_sentence(words[code].strip().rstrip('.'))} |\n" for code in ExitCode)
    return (
        f"{MADE}# Exit codes\n\nThe same for every command.\n\n| code | meaning |\n|---|---|\n{rows}\n"
        "A check that could not look is never a pass. When several things went wrong, a failed check outweighs what "
        "could not be looked at.\n"
    )


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` name those that are not true."""
    wrong = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        wrong.append(name)
        if "--check" not in arguments:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    verb = "differ from the code: make docs" if "--check" in arguments else "written"
    print(f"docs/reference: {', '.join(wrong)} {verb}" if wrong else "docs/reference is true")  # noqa: T201
    return 1 if wrong and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
