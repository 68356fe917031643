"""The front door: finding verbs, their help, calling them from Python."""

import subprocess
import sys

import pytest

import common
from commands import help_text, running
from commands.command import PURPOSES
from tests import in_process
from utils.errors import OptionError

pytestmark = pytest.mark.once

VERBS = running.verbs()


def front_door(monkeypatch, capsys, *words):
    """Runs seg.py in this process, as far as it does not run a verb."""
    monkeypatch.setattr(sys, "argv", ["seg.py", *words])
    try:
        running.front_door()
        status = 0
    except SystemExit as error:
        status = error.code
    return status, capsys.readouterr()


def test_without_a_verb_all_are_listed_by_purpose_with_an_example(monkeypatch, capsys):
    status, shown = front_door(monkeypatch, capsys)
    assert status == 0
    for purpose in PURPOSES:
        assert f"{purpose}:" in shown.out
    for verb, command in VERBS.items():
        assert f"python seg.py {verb} {command.examples[0]}" in shown.out


@pytest.mark.parametrize(
    ("word", "near"), [("evalute", "evaluate"), ("trian", "train"), ("predicts", "predict")]
)
def test_an_unknown_verb_is_answered_with_the_nearest(monkeypatch, capsys, word, near):
    status, shown = front_door(monkeypatch, capsys, word)
    assert status == common.STATUS_USAGE
    assert shown.err.startswith(f"Error: {word} ")
    assert near in shown.err


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_the_flags_that_people_need_first(verb):
    command = VERBS[verb]
    short = help_text.render(command, command.program, "short")
    full = help_text.render(command, command.program, "full")
    named = [name for _, names in command.groups for name in names]
    assert len(named) == len(set(named))
    assert len(named) <= 20
    assert all(f"--{name}" in short for name in named)
    assert all(f"--{name}" in full for name in command.fields())
    assert command.summary in short
    assert f"{command.program} {command.examples[0].split()[0]}" in short
    assert max(map(len, full.splitlines())) <= 100


def test_help_of_every_verb_and_wrong_flags_need_no_tensorflow():
    code = """
import sys
sys.modules["tensorflow"] = None
from absl import flags
from commands import running
for verb, command in running.verbs().items():
    for words in (["--help"], ["--helpfull"]):
        try:
            running.parse(verb, command.program, False, flags.FlagValues(), ["x", *words])
        except SystemExit as error:
            assert error.code == 0
        else:
            raise AssertionError(verb)
try:
    running.call("evaluate", dataset_dir="x")
except Exception as error:
    print(error)
assert not any(name.startswith(("numpy", "utils.compat")) for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--checkpoint_dir" in done.stdout.splitlines()[-1]


def test_an_unknown_device_needs_no_tensorflow():
    code = """
import sys
sys.modules["tensorflow"] = None
from commands import running
for verb, command in running.verbs().items():
    if "device" in command.fields() and command.fields()["device"].default == "auto":
        try:
            running.call(verb, device="tpu")
        except Exception as error:
            print(verb, type(error).__name__, error)
assert not any(name.startswith(("numpy", "utils.compat")) for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    verbs = {"train", "evaluate", "predict", "visualize", "export", "doctor"}
    assert verbs <= {line.split()[0] for line in lines}
    for line in lines:
        assert "OptionError tpu" in line
        assert "--device; known: auto, cpu, gpu, npu" in line


def test_a_verb_is_called_from_python_with_option_names(tmp_path):
    with pytest.raises(OptionError, match="max_rotation: .*predict"):
        running.call("predict", max_rotation=3)
    (tmp_path / "log").write_text("eval/miou_1.0_class_0 : 0.5\n")
    running.call("score", str(tmp_path / "log"))
    assert running.configure("train", seed=3).given == {"seed"}


def test_a_command_line_in_this_process_has_the_statuses_of_a_command(tmp_path, capsys):
    (tmp_path / "log").write_text("eval/miou_1.0_class_0 : 0.5\n")
    assert in_process.run("cal_miou.py", tmp_path / "log") == 0
    assert "0.50000" in capsys.readouterr().out
    assert in_process.run("cal_miou.py", tmp_path / "none") == common.STATUS_FAILURE
    assert in_process.run("cal_miou.py") == common.STATUS_USAGE
    assert in_process.run("cal_miou.py", "--no_such_flag") == common.STATUS_USAGE
    assert in_process.run("eval.py", "--max_rotation=3") == common.STATUS_USAGE
