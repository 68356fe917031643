"""Class weights from counts: those of the run, computed once."""

import pytest

import common
from core.training import label_weights
from options.config import Config
from options.training import TRAINING_RECORDS
from utils.classes import ClassSet

pytestmark = pytest.mark.once

FORMULA = "median_frequency"


class Data:
    """Stands for a data set; counts how often its labels were read."""

    def __init__(self, weights=(0.5, 2.0), fingerprint="a"):
        self.weights, self._fingerprint, self.reads = list(weights), fingerprint, 0

    def fingerprint(self, unused_split):
        return self._fingerprint

    def label_weights(self, split, formula):
        self.reads += 1
        assert (split, formula) == ("train", FORMULA)
        return self.weights


def config_of(folder, **values):
    values = {"train_logdir": str(folder), "label_weights_from": FORMULA, **values}
    return Config.create(TRAINING_RECORDS, values)


def save(folder, config, fingerprint="a", split="train"):
    run = {"fingerprint": fingerprint, "split": split}
    common.save_options(str(folder), {**config.to_dict(), "run": run})


def test_without_the_flag_nothing_is_read(tmp_path):
    data, config = Data(), config_of(tmp_path, label_weights_from=None)
    assert label_weights.settle(config, data) is config
    assert data.reads == 0


def test_a_run_that_continues_keeps_its_weights(tmp_path):
    started = label_weights.settle(config_of(tmp_path), Data())
    assert started.loss.label_weights == (0.5, 2.0)
    assert started.origin("label_weights") == "counted:train"
    assert "label_weights" not in started.given
    save(tmp_path, started)
    other = Data(weights=(9.0, 9.0))
    continued = label_weights.settle(config_of(tmp_path), other)
    assert continued.loss.label_weights == (0.5, 2.0)
    assert other.reads == 0
    assert continued.held() == started.held()


@pytest.mark.parametrize(
    "changes", [{"fingerprint": "b"}, {"split": "other"}, {"formula": "inverse"}]
)
def test_other_records_or_another_formula_are_counted_again(tmp_path, changes):
    formula = changes.pop("formula", FORMULA)
    old = config_of(tmp_path, label_weights_from=formula, label_weights=(3.0, 3.0))
    save(tmp_path, old, **changes)
    data = Data()
    assert label_weights.settle(config_of(tmp_path), data).loss.label_weights == (0.5, 2.0)
    assert data.reads == 1


def test_the_weights_are_described_by_class(tmp_path):
    config = label_weights.settle(config_of(tmp_path), Data())
    text = label_weights.describe(config, ClassSet(("sky", "tree")))
    assert FORMULA in text
    assert "sky 0.5, tree 2" in text
    assert label_weights.describe(config_of(tmp_path, label_weights_from=None), None) == ""
