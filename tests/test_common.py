import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import typing

import pytest
from absl import flags

import common
from common import Options, option
from utils.errors import OptionError, UserError

ROOT = pathlib.Path(common.__file__).parent

COMMAND = '''
"""A command for tests."""
import dataclasses
import os
import signal

from absl import flags

import common
from utils.errors import OptionError, UserError


@dataclasses.dataclass(frozen=True)
class Options(common.Options):
    do: str = common.option(flags.DEFINE_string, "nothing", "What to do.")
    size: int = common.option(flags.DEFINE_integer, 4, "How large.", minimum=1)


def main(flag_values):
    what = common.from_flags(Options, flag_values).do
    if what == "refuse":
        raise OptionError("--size does not fit.")
    if what == "complain":
        raise UserError("The file is not there; make it.")
    if what == "crash":
        raise KeyError("a mistake in the code")
    if what.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, what))
        signal.pause()
    print("done")


common.run(main, Options)
'''


@dataclasses.dataclass(frozen=True)
class Shape(Options):
    """Options of every kind."""

    side: int = option(flags.DEFINE_integer, 3, "Side.", minimum=1, maximum=9)
    share: float = option(flags.DEFINE_float, 0.5, "Share.", above=0.0)
    color: str = option(flags.DEFINE_string, "red", "Colour.", choices=("red", "blue"))
    rounded: bool = option(flags.DEFINE_bool, False, "Rounded.")
    crop: typing.Tuple[int, ...] = option(
        flags.DEFINE_list, (5, 7), "Height,width.", convert=int, length=2, minimum=1
    )
    rates: typing.Tuple[int, ...] = option(flags.DEFINE_multi_integer, None, "Rates.", minimum=1)

    def check(self):
        if self.color == "blue" and self.rounded:
            raise OptionError("--color=blue cannot be --rounded.")


def shape_from(*arguments):
    flag_values = flags.FlagValues()
    common.define_flags(Shape, flag_values=flag_values)
    flag_values(["program", *arguments])
    return common.from_flags(Shape, flag_values)


@pytest.fixture(scope="module")
def run_command(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "command.py"
    path.write_text(COMMAND)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(path), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_flags_default_to_the_fields_defaults():
    assert shape_from() == Shape()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--crop=33", "--crop=65"], {"crop": (33, 65)}),
        (["--crop=1,2", "--crop=33", "--crop=65"], {"crop": (33, 65)}),
        (["--crop=1,2", "--crop=33,65"], {"crop": (33, 65)}),
        (["--crop=1,2", "--crop="], {}),
        (["--rates=6,12"], {"rates": (6, 12)}),
        (["--rates=6", "--rates=12,18"], {"rates": (6, 12, 18)}),
        (["--rates=6", "--rates="], {}),
        (["--rates=6", "--rates=", "--rates=3"], {"rates": (3,)}),
    ],
)
def test_flags_of_several_values_have_two_spellings(arguments, expected):
    assert shape_from(*arguments) == Shape(**expected)


def test_a_flag_file_that_is_missing_is_named(run_command):
    result = run_command("--flagfile=none.txt")
    assert result.returncode == 2
    assert "Error: a file of --flagfile cannot be read: No such file" in result.stderr
    assert "'none.txt'" in result.stderr


def test_a_flag_that_was_emptied_counts_as_not_given():
    flag_values = flags.FlagValues()
    common.define_flags(Shape, flag_values=flag_values)
    flag_values(["program", "--rates=6", "--rates=", "--side=4"])
    assert common.given_flags(flag_values) == {"side"}


def test_flags_fill_fields_of_every_kind():
    shape = shape_from(
        "--side=4", "--share=0.25", "--color=blue", "--crop=33,65", "--rates=6", "--rates=12"
    )
    assert shape == Shape(side=4, share=0.25, color="blue", crop=(33, 65), rates=(6, 12))
    assert shape_from("--rounded").rounded
    assert not shape_from("--norounded").rounded


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"side": 0}, "--side is 0, but must be at least 1"),
        ({"side": 10}, "--side is 10, but must be at most 9"),
        ({"share": 0.0}, "--share is 0.0, but must be above 0.0"),
        ({"share": float("nan")}, "--share is nan, but must be above 0.0"),
        ({"color": "green"}, "--color is 'green', but must be one of red, blue"),
        ({"crop": (3,)}, "--crop has 1 values, but needs 2"),
        ({"crop": (3, 0)}, "--crop is 0, but must be at least 1"),
        ({"crop": "many"}, "--crop=many must hold values of type int"),
        ({"rates": [1, -2]}, "--rates is -2, but must be at least 1"),
        ({"color": "blue", "rounded": True}, "cannot be --rounded"),
        ({"side": "4"}, "--side is '4', but must be a number"),
    ],
)
def test_a_bad_value_is_refused_with_its_value_and_rule(values, message):
    with pytest.raises(OptionError) as error:
        Shape(**values)
    assert message in str(error.value)


def test_options_survive_json():
    shape = Shape(crop=(33, 65), rates=(6, 12))
    assert Shape.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape


def test_an_unknown_name_in_a_dict_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match=r"sides: no such option of Shape.*color.*side"):
        Shape.from_dict({"sides": 4})


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Shape().side = 4


def test_given_flags_are_those_on_the_command_line():
    flag_values = flags.FlagValues()
    common.define_flags(Shape, flag_values=flag_values)
    flag_values(["program", "--side=3", "--rates=6"])
    assert common.given_flags(flag_values) == {"side", "rates"}


def test_help_lists_each_option_once_under_the_module_of_its_record():
    flag_values = flags.FlagValues()
    common.define_flags(Shape, flag_values=flag_values)
    by_module = {
        module: sorted(flag.name for flag in found)
        for module, found in flag_values.flags_by_module_dict().items()
    }
    assert by_module == {Shape.__module__: ["color", "crop", "rates", "rounded", "share", "side"]}


def test_help_names_the_allowed_values():
    flag_values = flags.FlagValues()
    common.define_flags(Shape, flag_values=flag_values)
    assert flag_values["color"].help == "Colour. One of: red, blue."


def test_saved_options_are_loaded_again(tmp_path):
    folder = str(tmp_path / "run")
    assert common.load_options(folder) is None
    common.save_options(folder, {"shape": Shape(), "versions": {"numpy": "1"}})
    assert common.load_options(folder) == {
        "shape": Shape().to_dict(),
        "versions": {"numpy": "1"},
    }
    assert os.listdir(folder) == ["options.json"]


@pytest.mark.parametrize("content", ["{", "[1, 2]", "\xff"])
def test_a_broken_options_file_is_named(tmp_path, content):
    (tmp_path / "options.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"options\.json"):
        common.load_options(str(tmp_path))


def test_a_command_that_succeeds_exits_with_0(run_command):
    result = run_command()
    assert (result.returncode, result.stdout) == (0, "done\n")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--sise=3", "Did you mean: size"),
        ("--size=many", "many"),
        ("--size=0", "--size is 0, but must be at least 1"),
        ("size=3", "unexpected argument 'size=3'"),
        ("--do=refuse", "--size does not fit."),
    ],
)
def test_a_refused_flag_exits_with_2_and_a_sentence(run_command, argument, message):
    result = run_command(argument)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_users_mistake_exits_with_1_and_a_sentence(run_command):
    result = run_command("--do=complain")
    assert result.returncode == 1
    assert result.stderr == "Error: The file is not there; make it.\n"


def test_a_mistake_in_the_code_exits_with_1_and_a_traceback(run_command):
    result = run_command("--do=crash")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "KeyError" in result.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_exits_with_128_and_its_number(run_command, name):
    result = run_command(f"--do={name}")
    assert result.returncode == 128 + getattr(signal, name)
    assert result.stderr == f"Ended by {name}.\n"


@pytest.mark.parametrize("argument", ["--help", "--helpfull"])
def test_help_exits_with_0_and_shows_flag_default_and_meaning(run_command, argument):
    result = run_command(argument)
    assert result.returncode == 0, result.stderr
    assert "A command for tests." in result.stdout
    assert "--size: How large." in result.stdout
    assert "default: '4'" in result.stdout


def test_arguments_without_dashes_are_those_that_a_command_names():
    assert common.check_arguments(["voc"], ("FORMAT",), None) == ["voc"]
    assert common.check_arguments(["voc", "a", "b"], ("FORMAT",), "a command") == [
        "voc",
        ["a", "b"],
    ]
    for values, message in (([], "FORMAT is missing"), (["voc", "more"], "argument 'more'")):
        with pytest.raises(OptionError, match=message):
            common.check_arguments(values, ("FORMAT",), None)
    with pytest.raises(OptionError, match="a command is missing"):
        common.check_arguments(["voc"], ("FORMAT",), "a command")


def test_options_without_effect_are_refused_only_if_they_were_given():
    common.refuse_given({"side"}, ["crop"], "with --color=blue")
    with pytest.raises(OptionError, match="--side has no effect with --color=blue"):
        common.refuse_given({"side", "crop"}, ["side"], "with --color=blue")
