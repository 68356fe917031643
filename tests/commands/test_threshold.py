"""What the search for thresholds refuses before TensorFlow is loaded."""

import json

import pytest

from commands import running
from utils.errors import OptionError

pytestmark = pytest.mark.once


def checked(folder, saved="binary", **values):
    run = {"task": saved} if saved else {}
    (folder / "options.json").write_text(json.dumps({"run": run}))
    if "checkpoint_path" not in values:
        values["checkpoint_dir"] = str(folder)
    running.find("threshold").check(running.configure("threshold", **values))


def test_a_network_of_a_binary_or_unknown_task_is_accepted(tmp_path):
    checked(tmp_path)
    checked(tmp_path, None)
    checked(tmp_path, None, checkpoint_path=[str(tmp_path / "model.ckpt-1")])
    checked(tmp_path, metric="map10", empty_images="skip")


@pytest.mark.parametrize(
    ("saved", "given"), [("multiclass", {}), ("binary", {"task": "multiclass"})]
)
def test_classes_of_which_one_wins_have_no_thresholds(tmp_path, saved, given):
    with pytest.raises(OptionError, match="most probable class.*--task=binary"):
        checked(tmp_path, saved, **given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"checkpoint": "all"}, "belong to one checkpoint"),
        ({"checkpoint_path": ["a/model.ckpt-1", "b/model.ckpt-1"]}, "belong to one checkpoint"),
        ({"empty_images": "zero"}, "--empty_images has no effect with --metric=iou"),
        ({"metric": "accuracy"}, "--metric is 'accuracy'.*dice"),
    ],
)
def test_what_cannot_have_an_effect_is_refused(tmp_path, values, message):
    with pytest.raises(OptionError, match=message):
        checked(tmp_path, **values)
