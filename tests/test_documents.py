"""Keeps the commands and links of the documents true."""

import pathlib
import re
import shlex

import pytest
from absl import flags

import common
from commands import running
from scripts import document_flags, document_modules

pytestmark = pytest.mark.once

ROOT = pathlib.Path(common.__file__).parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
)
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


def verb_of(program):
    """Returns the verb of a program, and whether --mode chooses it; None without a verb."""
    for name, command in running.verbs().items():
        if command.program.split()[-1] == program:
            return name, program == "train_npu.py"
    return None


@pytest.mark.parametrize("words", python_commands())
def test_flags_of_a_documented_command_exist(words):
    program, words = (words[1], words[2:]) if words[0] == "-m" else (words[0], words[1:])
    values = flags.FlagValues()
    if program == "seg.py":
        running.parse(words[0], program, False, values, [program, *words[1:]])
        return
    if verb_of(program):
        verb, by_mode = verb_of(program)
        parsed = running.parse(verb, program, by_mode, values, [program, *words])
        assert parsed.notice == ""
        return
    name = program.replace("/", ".")[: -len(".py")] if program.endswith(".py") else program
    records = [part.record for part in document_flags.commands()[name]]
    common.define_flags(*records, flag_values=values)
    values([program, *words])
    for record in records:
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


def test_the_page_of_modules_is_what_their_docstrings_are():
    is_current = document_modules.PAGE.read_text(encoding="utf-8") == document_modules.page()
    assert is_current, "docs/modules.md is out of date; run python -m scripts.document_modules."
