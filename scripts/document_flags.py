"""Writes docs/flags.md: every flag of every command, from the option records themselves.

  python -m scripts.document_flags            # writes the page
  python -m scripts.document_flags --compare  # fails if the page is not what it would write

A test holds the page to the records.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import runpy
import sys
from unittest import mock

from absl import flags

import common
from common import Options, option
from options import architectures
from options.data import DataOptions
from options.device import DeviceOptions
from options.network import NetworkOptions
from options.training import TRAINING_RECORDS
from utils.errors import UserError
from utils.files import write_text

ROOT = pathlib.Path(common.__file__).resolve().parent
PAGE = ROOT / "docs" / "flags.md"
# Command -> the flags of its counterpart in the DeepLab family or the Ascend port.
REFERENCE = ROOT / "docs" / "reference_flags.json"
_FOLDERS = ("", "datasets", "deployment", "benchmarks")
# Come first, in this order: most people need nothing else.
_FIRST = ("train_npu.py", "eval.py", "predict.py", "vis.py", "export_model.py", "datasets.convert")
# Records that a run keeps in its options.json and is held to when it continues.
_KEPT = (
    *(NetworkOptions, *architectures.RECORDS.values()),
    *(*TRAINING_RECORDS, DataOptions, DeviceOptions),
)
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

Every flag of every command, by the record that it is a field of. `python -m scripts.document_flags`
writes this page, and a test holds it to the code.

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
    """Returns how each command is called -> its option records."""
    paths = {}
    for folder in _FOLDERS:
        here = ROOT / folder
        for path in sorted([*here.glob("*.py"), *here.glob("*/__main__.py")]):
            if "common.run(main" in path.read_text(encoding="utf-8"):
                module = path.parent.name if path.stem == "__main__" else path.stem
                paths[f"{folder}.{module}" if folder else path.name] = path
    ordered = [*_FIRST, *(name for name in paths if name not in _FIRST)]
    return {name: _records(paths[name]) for name in ordered}


def _records(path: pathlib.Path) -> tuple:
    """Returns the records that a command hands to `common.run`."""
    seen = []

    def run(unused_main, *classes, **unused_arguments):
        seen.extend(classes)

    with mock.patch.object(common, "run", run), mock.patch.object(sys, "argv", [str(path)]):
        runpy.run_path(str(path), run_name="__main__")
    return tuple(seen)


def page() -> str:
    """Returns the page."""
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    owners, users = {}, {}
    for command, records in commands().items():
        for record in records:
            for field in dataclasses.fields(record):
                owner = _owner(record, field.name)
                owners.setdefault(owner, {}).setdefault(field.name, field)
                users.setdefault((owner, field.name), []).append(command)
    parts = [_HEAD]
    for owner, fields in owners.items():
        everywhere = users[owner, next(iter(fields))]
        parts.append(f"\n## {_title(owner)}\n\nOf {', '.join(everywhere)}.\n")
        parts.append("| flag | type | default | what it says | |\n|---|---|---|---|---|")
        for field in fields.values():
            used_by = users[owner, field.name]
            marks = ["R"] if any(field.name in reference.get(one, ()) for one in used_by) else []
            if owner in _KEPT:
                marks.append("free" if field.metadata["changeable"] else "fixed")
            parts.append(_row(field, [one for one in everywhere if one not in used_by], marks))
    return "\n".join(parts) + "\n"


def _row(field, without, marks) -> str:
    but = f" Not of {', '.join(without)}, which has its own." if without else ""
    cells = (
        f"`--{field.name}`",
        _TYPES[field.metadata["define"]],
        _default(field),
        _meaning(field) + but,
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
    limits, words = field.metadata, []
    if limits["choices"] is not None:
        words.append("One of " + ", ".join(str(choice) for choice in limits["choices"]) + ".")
    bounds = (("minimum", "at least"), ("above", "above"), ("maximum", "at most"))
    said = [f"{word} {limits[key]}" for key, word in bounds if limits[key] is not None]
    if said:
        words.append(" and ".join(said).capitalize() + ".")
    if limits["length"] is not None:
        words.append(f"{limits['length']} values.")
    return " ".join([limits["help"], *words]).replace("|", "\\|")


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
