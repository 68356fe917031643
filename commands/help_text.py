"""What `--help` and `--helpfull` of a verb show."""

from __future__ import annotations

import dataclasses
import textwrap

from commands.command import Command

SHORT = ("--help", "-help", "-h", "-?", "--helpshort", "-helpshort")
FULL = ("--helpfull", "-helpfull", "--help=full")

_WIDTH = 100


def requested(argv: list) -> str | None:
    """Returns "short" or "full" if the arguments ask for help, else None."""
    words = argv[: argv.index("--")] if "--" in argv else argv
    if any(word in FULL for word in words):
        return "full"
    return "short" if any(word in SHORT for word in words) else None


def render(command: Command, program: str, kind: str) -> str:
    """Returns the help of a verb.

    Args:
      command: The verb.
      program: How it was called, such as `python eval.py`.
      kind: "short" or "full".
    """
    fields = command.fields()
    parts = ["\n".join([f"{command.summary}\n", *map(_example(program), command.examples)])]
    parts += [_group(title, [fields[name] for name in names]) for title, names in command.groups]
    shown = {name for _, names in command.groups for name in names}
    if kind == "full":
        parts += _others(command, shown)
        parts.append("--flagfile=FILE reads flags from a file, one a line.")
    else:
        parts.append(f"{len(fields) - len(shown)} more flags: --helpfull, or docs/flags.md.")
    return "\n\n".join(parts)


def _example(program: str):
    """Returns the function from arguments to a command line, broken where it is long."""

    def lines(arguments: str) -> str:
        broken = textwrap.wrap(
            f"{program} {arguments}", _WIDTH - 8, break_long_words=False, break_on_hyphens=False
        )
        return "  " + " \\\n      ".join(broken)

    return lines


def _others(command: Command, shown: set) -> list:
    """Returns the groups of the flags that are not shown yet, one for each record."""
    groups = []
    for part in command.parts:
        fields = [
            field
            for field in dataclasses.fields(part.record)
            if field.name in part.names and field.name not in shown
        ]
        if fields:
            title = part.record.__doc__.strip().splitlines()[0].rstrip(".")
            groups.append(_group(title, fields))
    return groups


def _group(title: str, fields: list) -> str:
    return "\n".join([f"{title}:", *(_flag(field) for field in fields)])


def _flag(field) -> str:
    text = field.metadata["help"]
    if field.metadata["choices"] is not None:
        text += " One of: " + ", ".join(str(choice) for choice in field.metadata["choices"]) + "."
    wrapped = textwrap.fill(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  --{field.name}{_default(field)}\n{wrapped}"


def _default(field) -> str:
    if field.default is None or field.default in ("", ()):
        return ""
    if isinstance(field.default, bool):
        return f"  [{str(field.default).lower()}]"
    if isinstance(field.default, tuple):
        return f"  [{','.join(str(value) for value in field.default)}]"
    return f"  [{field.default}]"
