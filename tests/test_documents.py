"""Keeps the commands and links of the documents true."""

import ast
import importlib
import inspect
import pathlib
import re
import shlex

import pytest
from absl import flags

import common
from scripts import document_flags

ROOT = pathlib.Path(common.__file__).parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)
COMMON_RUN = ast.dump(ast.parse("common.run", mode="eval").body)
TARGETS = set(re.findall(r"^([a-z0-9.-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def blocks(text):
    return re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(text):
    """Returns the words of each command in the code blocks of a document."""
    lines = "\n".join(blocks(text)).replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def python_commands():
    found = []
    for document in DOCUMENTS:
        for words in commands((ROOT / document).read_text(encoding="utf-8")):
            if pathlib.PurePath(words[0]).name in ("python", "python3"):
                found.append(pytest.param(words[1:], id=f"{document}: {' '.join(words)[:60]}"))
    return found


def option_classes(module):
    """Returns the option classes of a command: the arguments of its call of `common.run`."""
    imported = importlib.import_module(module)
    if hasattr(imported, "__path__"):
        imported = importlib.import_module(f"{module}.__main__")
    for node in ast.walk(ast.parse(inspect.getsource(imported))):
        if isinstance(node, ast.Call) and ast.dump(node.func) == COMMON_RUN:
            return [
                record
                for argument in node.args[1:]
                for record in (
                    getattr(imported, argument.value.id)
                    if isinstance(argument, ast.Starred)
                    else [getattr(imported, argument.id)]
                )
            ]
    return pytest.fail(f"{module} does not call common.run.")


@pytest.mark.parametrize("words", python_commands())
def test_flags_of_a_documented_command_exist(words):
    if words[0] == "-m":
        module, words = words[1], words[2:]
    else:
        module, words = words[0].replace("/", ".")[: -len(".py")], words[1:]
    classes = option_classes(module)
    values = flags.FlagValues()
    common.define_flags(*classes, flag_values=values)
    values([module, *words])
    for record in classes:
        common.from_flags(record, values)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_of_a_document_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z0-9.-]*)", text, flags=re.MULTILINE))
    assert named <= TARGETS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_to_files_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    folder = (ROOT / document).parent
    assert [target for target in targets if not (folder / target).exists()] == []


def test_the_page_of_flags_is_what_the_option_records_say():
    is_current = document_flags.PAGE.read_text(encoding="utf-8") == document_flags.page()
    assert is_current, "docs/flags.md is out of date; run python -m scripts.document_flags."
