"""What is due when."""

import re

import pytest

from core.training import intervals
from options import training
from options.training import TrainOptions
from tests.small_steps import config_of
from utils.errors import OptionError


@pytest.mark.parametrize(("given", "loop", "used"), [(10, 4, 12), (12, 4, 12), (1, 10, 10)])
def test_an_interval_is_rounded_up_to_whole_loops(given, loop, used):
    options = TrainOptions(save_checkpoints_steps=given, iterations_per_loop=loop)
    assert intervals.steps(options, "save_checkpoints_steps") == used


def test_an_interval_passes_once_wherever_loops_end():
    options = TrainOptions(save_checkpoints_steps=10, iterations_per_loop=1)
    ends = [0, 4, 9, 13, 20, 21, 45, 50]
    due = [
        now
        for last, now in zip(ends, ends[1:])
        if intervals.passed(options, "save_checkpoints_steps", last, now)
    ]
    assert due == [13, 20, 45, 50]


def test_an_interval_of_zero_never_passes():
    assert not intervals.passed(TrainOptions(), "eval_interval_steps", 0, 10**6)


def test_a_rounded_interval_is_named_and_whole_loops_are_not():
    assert intervals.notice(TrainOptions(iterations_per_loop=10)) == ""
    text = intervals.notice(TrainOptions(iterations_per_loop=8, milestone_steps=16))
    assert re.search(r"--log_steps=10 \w+ 16.*--display_every=100 \w+ 104", text)
    assert "milestone_steps" not in text


@pytest.mark.parametrize(
    ("epochs", "images", "batch", "steps"),
    [(2.0, 10, 4, 5), (1.0, 9, 4, 3), (0.5, 9, 4, 2), (0.1, 30, 1, 3), (0.3, 10, 1, 3)],
)
def test_epochs_are_the_steps_that_see_all_their_images(epochs, images, batch, steps):
    config = config_of(epochs=epochs, eval_interval_epochs=epochs)
    found = intervals.in_steps(config, images, batch).train
    assert (found.training_number_of_steps, found.eval_interval_steps) == (steps, steps)
    assert found.epochs == epochs


def test_what_is_given_in_steps_stays():
    config = config_of(training_number_of_steps=7, eval_interval_steps=3)
    assert intervals.in_steps(config, 10, 4) == config


@pytest.mark.parametrize(
    ("epochs", "steps"),
    [("epochs", "training_number_of_steps"), ("eval_interval_epochs", "eval_interval_steps")],
)
def test_epochs_and_steps_are_not_given_together(epochs, steps):
    with pytest.raises(OptionError, match=f"--{epochs}=2 and --{steps}=5 "):
        training.check_given(config_of(**{epochs: 2.0, steps: 5}))
    training.check_given(config_of(**{epochs: 0.0, steps: 5}))
    training.check_given(intervals.in_steps(config_of(**{epochs: 2.0}), 10, 4))
