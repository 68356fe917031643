"""Writes docs/modules.md: every module with the first line of its docstring.

  python -m scripts.document_modules            # writes the page
  python -m scripts.document_modules --compare  # fails if the page is not what it would write

A test compares the page with the modules.
"""

from __future__ import annotations

import ast
import dataclasses
import pathlib

from absl import flags

import common
from common import Options, option
from utils.errors import UserError

ROOT = pathlib.Path(common.__file__).resolve().parent
PAGE = ROOT / "docs" / "modules.md"
_HEAD = """# Modules

Every module by the first line of its docstring; [architecture.md](architecture.md) has the picture.
`python -m scripts.document_modules` writes this page.

"""
# From the top of the import rule to its bottom.
_FOLDERS = (
    ".",
    "commands",
    "core",
    "datasets",
    "deployment",
    "options",
    "utils",
    "benchmarks",
    "scripts",
)


@dataclasses.dataclass(frozen=True)
class DocumentOptions(Options):
    """What is done with the page."""

    compare: bool = option(flags.DEFINE_bool, False, "Whether to compare the page, not write it.")


def page() -> str:
    """Returns the page: a row for each folder, then for each of its modules."""
    lines = ["| module | what it holds |", "| --- | --- |"]
    for folder in _folders():
        name = folder.relative_to(ROOT).as_posix()
        package = folder / "__init__.py"
        title = _first_line(package) if package.exists() else "What a user starts."
        lines.append(f"| **{'top' if name == '.' else name + '/'}** | **{title}** |")
        lines += [
            f"| `{path.stem}` | {_first_line(path)} |"
            for path in sorted(folder.glob("*.py"))
            if path.stem != "__init__"
        ]
    return _HEAD + "\n".join(lines) + "\n"


def _folders() -> list:
    """Returns the folders that hold modules, each before the folders in it."""
    found = []
    for name in _FOLDERS:
        top = ROOT / name
        found.append(top)
        if name != ".":
            inner = {path.parent for path in top.rglob("*.py")} - {top}
            found += sorted(inner)
    return found


def _first_line(path: pathlib.Path) -> str:
    """Returns the first line of a module's docstring, as it stands in a table."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n")[0].rstrip(":").replace("|", "\\|")


def main(flag_values):
    """Writes or compares the page."""
    options = common.from_flags(DocumentOptions, flag_values)
    if not options.compare:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        raise UserError(f"{PAGE} is out of date; run python -m scripts.document_modules.")


if __name__ == "__main__":
    common.run(main, DocumentOptions)
