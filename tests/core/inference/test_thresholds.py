"""Which thresholds decide, and for which checkpoint those of a file hold."""

import json

import pytest

from core.inference import thresholds
from core.inference.predictor import Member
from options.network import NetworkSpec
from options.task import TaskOptions
from utils.classes import ClassSet
from utils.errors import OptionError, UserError

BINARY = ClassSet(("background", "salt"), task="binary")
LABELS = ClassSet(("a", "b", "c"), task="multilabel")
FOUND = {"metric": "dice", "split": "val", "classes": {"a": 0.2, "b": 0.5, "c": 0.9}}
NONE = TaskOptions()


def member(folder, name="model.ckpt-5", content="weights", averaged=False):
    (folder / f"{name}.index").write_text(content)
    return Member(str(folder / name), NetworkSpec.of(), averaged)


def chosen(options, classes, *members):
    return thresholds.of_checkpoints(options, classes, members)


def test_without_flag_and_file_it_is_one_half(tmp_path):
    found = chosen(NONE, LABELS, member(tmp_path))
    assert found.values == (0.5, 0.5, 0.5)
    assert found.decides == 0.5
    assert found.describe() == {"threshold": 0.5}
    assert chosen(NONE, BINARY, member(tmp_path)).values == (0.5,)


def test_stored_thresholds_hold_for_their_checkpoint(tmp_path):
    path = thresholds.write(member(tmp_path), FOUND)
    found = chosen(NONE, LABELS, member(tmp_path))
    assert found.decides == found.values == (0.2, 0.5, 0.9)
    assert found.describe()["threshold"] == [0.2, 0.5, 0.9]
    assert found.describe()["thresholds"]["metric"] == "dice"
    assert path in found.source
    with open(path) as file:
        content = json.load(file)
    assert {name: content[name] for name in FOUND} == FOUND
    assert content["checkpoint"] == "model.ckpt-5"


def test_equal_thresholds_are_one_number(tmp_path):
    same = {**FOUND, "classes": {"a": 0.3, "b": 0.3, "c": 0.3}}
    thresholds.write(member(tmp_path), same)
    assert chosen(NONE, LABELS, member(tmp_path)).decides == 0.3


def test_a_renamed_checkpoint_keeps_its_thresholds(tmp_path):
    thresholds.write(member(tmp_path), FOUND)
    assert chosen(NONE, LABELS, member(tmp_path, "other.ckpt")).values == (0.2, 0.5, 0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "other weights"}, "model.ckpt-5 has other weights.*seg.py threshold"),
        ({"averaged": True}, "without EMA.*--threshold"),
    ],
)
def test_those_of_other_weights_are_refused(tmp_path, change, message):
    thresholds.write(member(tmp_path), FOUND)
    other = member(tmp_path, **change)
    with pytest.raises(UserError, match=message):
        chosen(NONE, LABELS, other)
    # By hand is always possible.
    assert chosen(TaskOptions(threshold=0.5), LABELS, other).decides == 0.5


def test_those_of_another_number_of_classes_are_refused(tmp_path):
    thresholds.write(member(tmp_path), FOUND)
    with pytest.raises(UserError, match="3 classes, but 1 are predicted.*salt"):
        chosen(NONE, BINARY, member(tmp_path))


def test_a_flag_wins_and_says_so(tmp_path, caplog):
    path = thresholds.write(member(tmp_path), FOUND)
    with caplog.at_level("INFO"):
        found = chosen(TaskOptions(threshold=(0.1, 0.2, 0.3)), LABELS, member(tmp_path))
    assert found.values == (0.1, 0.2, 0.3)
    assert found.found is None
    assert f"0.1, 0.2, 0.3 (--threshold, not {path})" in caplog.text


def test_the_mean_of_several_checkpoints_does_not_use_those_of_one(tmp_path):
    path = thresholds.write(member(tmp_path), FOUND)
    found = chosen(NONE, LABELS, member(tmp_path), member(tmp_path, "other.ckpt"))
    assert found.decides == 0.5
    assert path in found.source


def test_exclusive_classes_ignore_a_file(tmp_path):
    thresholds.write(member(tmp_path), FOUND)
    assert chosen(NONE, ClassSet(("a", "b", "c")), member(tmp_path)).decides == 0.5


def test_a_checkpoint_of_the_first_format_has_no_index(tmp_path):
    (tmp_path / "old.ckpt").write_bytes(b"weights")
    old = Member(str(tmp_path / "old.ckpt"), NetworkSpec.of())
    thresholds.write(old, FOUND)
    assert chosen(NONE, LABELS, old).values == (0.2, 0.5, 0.9)
    (tmp_path / "old.ckpt").write_bytes(b"others")
    with pytest.raises(UserError, match="other weights"):
        chosen(NONE, LABELS, old)


def test_a_flag_has_one_value_or_one_for_each_class():
    given = TaskOptions(threshold=["0.4"])
    assert thresholds.by_hand(given, LABELS).values == (0.4, 0.4, 0.4)
    with pytest.raises(OptionError, match=r"--threshold has 2 values, but 3 classes.*a, b, c"):
        thresholds.by_hand(TaskOptions(threshold=(0.1, 0.2)), LABELS)
    for wrong in ("-0.1", "1.5", "nan"):
        with pytest.raises(OptionError, match="--threshold"):
            TaskOptions(threshold=[wrong])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "lacks checkpoint"),
        (json.dumps({"classes": {}}), "lacks checkpoint, digest"),
        (None, "holds 7, not 0 to 1"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    path = thresholds.write(member(tmp_path), {**FOUND, "classes": {"a": 7}})
    if content is not None:
        with open(path, "w") as file:
            file.write(content)
    with pytest.raises(UserError, match=message):
        chosen(NONE, LABELS, member(tmp_path))
