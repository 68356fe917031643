"""Which classes a network predicts."""

import pytest

from core.inference import classes
from options.task import TaskOptions
from utils.classes import ClassSet
from utils.errors import OptionError, UserError

SALT = ClassSet(("rock", "salt"), name="salt")


def test_given_classes_win_over_saved_and_usual_ones():
    saved = {"num_classes": 2, "class_names": ["a", "b"], "dataset": "letters"}
    usual = ClassSet("xy")
    assert classes.choose(2, named=SALT, saved=saved, usual=usual) == SALT
    found = classes.choose(2, saved=saved, usual=usual)
    assert (found.names, found.name) == (("a", "b"), "letters")
    assert classes.choose(2, saved={"num_classes": 2}, usual=usual) == usual
    assert classes.choose(3, usual=usual).names == ("class_0", "class_1", "class_2")


def test_the_task_is_that_of_the_network_unless_an_option_names_one():
    saved = {**SALT.to_dict(), "task": "binary"}
    assert classes.choose(1, saved=saved).task == "binary"
    assert classes.choose(1, named=SALT, saved={"task": "binary"}).task == "binary"
    assert classes.choose(1, named=SALT, options=TaskOptions(task="binary")).task == "binary"
    assert classes.choose(1, options=TaskOptions(task="binary")).count == 2
    assert classes.choose(2, saved={**saved, "task": "semantic segmentation"}).task == "multiclass"


@pytest.mark.parametrize(
    ("channels", "settings", "error", "message"),
    [
        (None, {}, UserError, "--num_classes"),
        (3, {"named": SALT}, UserError, "3 outputs .* 2 classes"),
        (2, {"named": SALT, "options": TaskOptions(task="binary")}, UserError, "2 outputs"),
        (3, {"saved": {"task": "multilabel"}, "named": SALT}, OptionError, "multilabel"),
    ],
)
def test_classes_that_do_not_fit_the_network_are_refused(channels, settings, error, message):
    with pytest.raises(error, match=message):
        classes.choose(channels, **settings)
