"""What is due when."""

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


def test_rounding_is_said_and_whole_loops_need_no_word():
    assert intervals.notice(TrainOptions(iterations_per_loop=10)) == ""
    text = intervals.notice(TrainOptions(iterations_per_loop=8, milestone_steps=16))
    assert "--log_steps=10 counts as 16, --display_every=100 counts as 104" in text
    assert "milestone" not in text
