"""The mean IoU from a log, ours or the reference's."""

import os
import subprocess
import sys

import pytest

from commands.engines import score
from tests.resources import golden_json
from utils.errors import UserError

pytestmark = pytest.mark.once

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _log(tmp_path, text):
    path = tmp_path / "training.log"
    path.write_text(text)
    return str(path)


def test_the_last_of_several_evaluations_counts(tmp_path):
    (only,) = score.read(
        _log(
            tmp_path,
            "step: 5  loss:1\n"
            "eval/miou_1.0_class_0 : 0.1\neval/miou_1.0_class_1 : 0.1\n"
            "eval/miou_1.0_overall : 0.1\n"
            "eval/miou_1.0_class_0 : 0.5\neval/miou_1.0_class_1 : nan\n"
            "eval/miou_1.0_class_2 : 0.70000\n",
        )
    )
    assert only.miou == pytest.approx(0.6)
    assert only.absent == [1]


def test_scales_are_told_apart_and_loggers_may_write_around(tmp_path):
    found = score.read(
        _log(
            tmp_path,
            "I0101 eval/miou_0.5_1.0_flipped_class_0 : 0.25\n"
            "{'eval/miou_1.0_class_0': 0.9, 'eval/miou_1.0_class_1': 1e-1}\n",
        )
    )
    assert [(item.tag, item.miou) for item in found] == [
        ("miou_0.5_1.0_flipped", 0.25),
        ("miou_1.0", 0.5),
    ]


def test_the_mean_of_the_golden_numbers(tmp_path):
    for case in golden_json("metrics.json")["cases"]:
        lines = [
            f"eval/miou_1.0_class_{number} : {'nan' if iou is None else iou}\n"
            for number, iou in enumerate(case["iou_per_class"])
        ]
        (found,) = score.read(_log(tmp_path, "".join(lines)))
        expected = case["mean_over_labelled_classes"]
        assert found.miou == (None if expected is None else pytest.approx(expected, abs=1e-6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "holds no line such as 'eval/miou_1.0_class_3"),
        ("eval/miou_1.0_class_0 : 0.5\neval/miou_1.0_class_2 : 0.5\n", "lacks class 1"),
        ("eval/miou_1.0_class_0 : much\n", "'much' where an IoU"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        score.read(_log(tmp_path, text))


def test_the_command_prints_the_mean_and_says_what_is_missing(tmp_path):
    path = _log(tmp_path, "eval/miou_1.0_class_0 : 0.25\neval/miou_1.0_class_1 : nan\n")

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "cal_miou.py", *arguments], cwd=ROOT, capture_output=True, text=True
        )

    done = command(path)
    assert done.stdout == "eval/miou_1.0_overall : 0.25000  (1 of 2 classes, without 1)\n"
    assert command(path + "x").returncode == 1
    assert "LOG is missing" in command().stderr
