"""Generates docs/flags.md, the reference of all flags of all commands, from the option records.

  python -m scripts.document_flags            # writes the page
  python -m scripts.document_flags --compare  # fails if the page is out of date

A test keeps the page current.
"""

from __future__ import annotations

import dataclasses
import pathlib
import runpy
import sys
from unittest import mock

from absl import flags

import common
from commands import running
from commands.command import Part
from common import Options, option
from options import family
from options.data import DATA_RECORDS
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS
from options.training import TRAINING_RECORDS
from utils.errors import UserError
from utils.files import write_text

ROOT = pathlib.Path(common.__file__).resolve().parent
PAGE = ROOT / "docs" / "flags.md"
_FOLDERS = ("datasets", "deployment", "benchmarks")
# Come first, in this order: most people need nothing else.
_FIRST = ("train", "evaluate", "predict", "visualize", "export", "convert")
# Records that a run keeps in its options.json and is held to when it continues.
_KEPT = (*NETWORK_OPTIONS, *TRAINING_RECORDS, *DATA_RECORDS, DeviceOptions)
_TYPES = {
    flags.DEFINE_bool: "bool",
    flags.DEFINE_float: "float",
    flags.DEFINE_integer: "integer",
    flags.DEFINE_list: "list, comma separated",
    flags.DEFINE_multi_float: "float, repeated",
    flags.DEFINE_multi_integer: "integer, repeated",
    flags.DEFINE_multi_string: "string, repeated",
    flags.DEFINE_string: "string",
}
_HEAD = """# Flags

Every flag of every command, grouped by option record. `python -m scripts.document_flags` writes
this page, and a test compares it with the code. A command refuses a flag that has no effect in it,
and says where it has one; flags of the DeepLab family are accepted and named in a notice instead.

- **R**: a flag of the DeepLab reference, with its name, type and default
  ([compatibility.md](compatibility.md) says where the effect differs).
- **fixed**: a run that continues must have the value that it began with; **free**: it may have
  another one. The other flags are no part of a run.
- A list is given once, comma separated; a repeated flag several times. An unset flag is taken back
  by an empty value."""


@dataclasses.dataclass(frozen=True)
class DocumentOptions(Options):
    """What is done with the page."""

    compare: bool = option(
        flags.DEFINE_bool, False, "Whether the page is compared only, not written."
    )


def commands() -> dict:
    """Returns how each command is called, without `python` -> the `Part`s of records it takes."""
    verbs = running.verbs()
    found = {
        verbs[verb].program.split()[-1]: verbs[verb].parts
        for verb in [*_FIRST, *(verb for verb in verbs if verb not in _FIRST)]
    }
    for folder in _FOLDERS:
        here = ROOT / folder
        for path in sorted([*here.glob("*.py"), *here.glob("*/__main__.py")]):
            if "common.run(main" in path.read_text(encoding="utf-8"):
                module = path.parent.name if path.stem == "__main__" else path.stem
                found.setdefault(f"{folder}.{module}", _parts(path))
    return found


def _parts(path: pathlib.Path) -> tuple:
    """Returns the records that a module hands to `common.run`."""
    seen = []

    def run(unused_main, *classes, **unused_arguments):
        seen.extend(classes)

    with mock.patch.object(common, "run", run), mock.patch.object(sys, "argv", [str(path)]):
        runpy.run_path(str(path), run_name="__main__")
    return tuple(Part(record, record.names()) for record in seen)


def page() -> str:
    """Returns the page."""
    owners, users = {}, {}
    for command, parts in commands().items():
        for part in parts:
            for field in dataclasses.fields(part.record):
                if field.name in part.names:
                    owner = _owner(part.record, field.name)
                    owners.setdefault(owner, {}).setdefault(field.name, field)
                    users.setdefault((owner, field.name), []).append(command)
    text = [_HEAD]
    for owner, fields in owners.items():
        everywhere = list(dict.fromkeys(one for name in fields for one in users[owner, name]))
        text.append(f"\n## {_title(owner)}\n\nOf {', '.join(everywhere)}.\n")
        text.append("| flag | type | default | meaning | |\n|---|---|---|---|---|")
        for field in fields.values():
            used_by = users[owner, field.name]
            marks = ["R"] if _is_of_reference(field.name, used_by) else []
            if owner in _KEPT:
                marks.append("free" if field.metadata["changeable"] else "fixed")
            text.append(_row(field, used_by if used_by != everywhere else [], marks))
    return "\n".join(text) + "\n"


def _is_of_reference(name: str, used_by: list) -> bool:
    """Returns whether a counterpart of one of the commands has the flag in the DeepLab family."""
    counterparts = {
        command.program.split()[-1]: family.BY_VERB.get(verb, ())
        for verb, command in running.verbs().items()
    }
    counterparts["datasets.index_masks"] = family.BY_VERB["index_masks"]
    return any(name in counterparts.get(command, ()) for command in used_by)


def _row(field, only, marks) -> str:
    cells = (
        f"`--{field.name}`",
        _TYPES[field.metadata["define"]],
        _default(field),
        _meaning(field) + (f" Only of {', '.join(only)}." if only else ""),
        ", ".join(marks),
    )
    return "| " + " | ".join(cells) + " |"


def _owner(record, name: str):
    """Returns the class in whose body a field stands."""
    return next(base for base in record.__mro__ if name in vars(base))


def _title(owner) -> str:
    return f"{owner.__doc__.strip().splitlines()[0].rstrip('.')} (`{owner.__name__}`)"


def _default(field) -> str:
    if field.default is None:
        return "unset"
    if isinstance(field.default, tuple):
        return "`" + ",".join(str(value) for value in field.default) + "`"
    if field.default == "":
        return "empty"
    value = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{value}`"


def _meaning(field) -> str:
    limits, rules = field.metadata, []
    if limits["choices"] is not None:
        rules.append("One of " + ", ".join(str(choice) for choice in limits["choices"]) + ".")
    bounds = (("minimum", "at least"), ("above", "above"), ("maximum", "at most"))
    stated = [f"{word} {limits[key]}" for key, word in bounds if limits[key] is not None]
    if stated:
        rules.append(" and ".join(stated).capitalize() + ".")
    if limits["length"] is not None:
        rules.append(f"{limits['length']} values.")
    return " ".join([limits["help"], *rules]).replace("|", "\\|")


def main(flag_values):
    """Writes the page, or compares it."""
    options = common.from_flags(DocumentOptions, flag_values)
    text = page()
    if not options.compare:
        write_text(str(PAGE), text)
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        raise UserError(f"{PAGE} is out of date; run python -m scripts.document_flags.")


if __name__ == "__main__":
    common.run(main, DocumentOptions)
