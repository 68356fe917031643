"""What is due when."""

import re

import pytest

from core.training import intervals
from options.training import TrainOptions


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
