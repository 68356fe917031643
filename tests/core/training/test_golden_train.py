"""Training steps equal those of the reference; the golden README states the tolerances."""

import numpy as np
import pytest

from core import network
from tests.golden import compare, train
from tests.resources import golden_folder, golden_json

QUICK = ["mnv2_bn", "r18beta_dropout_mask"]
SLOW = [
    "r18_pyramid",
    "r18beta_bn_step_321",
    "r50_label_weights",
    "r50_labels_downsampled",
    "r50_mining_step0",
    "r50_mining_step100_at50",
    "r101_bn",
    "r101_frozen_bn",
    "r101beta_bn_poly",
    "x41_bn_decoder4",
]


@pytest.mark.parametrize("name", QUICK)
def test_training_steps_equal_the_reference(name):
    assert_training_equals(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_training_steps_of_other_settings_equal_the_reference(name):
    assert_training_equals(name)


def test_every_golden_training_is_compared():
    names = {path.stem for path in (golden_folder() / "train").glob("*.json")}
    assert names == {*QUICK, *SLOW}


def assert_training_equals(name):
    manifest = golden_json(f"train/{name}.json")
    config = manifest["config"]
    if config["variant"] not in network.BACKBONES:
        pytest.skip(f"{config['variant']} is not part of this version.")
    actual = train.recompute(manifest, golden_folder())
    expected = dict(np.load(golden_folder() / "train" / f"{name}.npz"))
    frozen = not config["train"]["fine_tune_batch_norm"]

    assert_relative(actual, expected, "step_learning_rate", 1e-6)
    assert_relative(actual, expected, "grad_multiplier", 1e-6)
    assert_relative(actual, expected, "step_reg_loss", 1e-5)
    assert_losses_equal(actual, expected, frozen)
    assert compare.largest_difference(actual["train_logits"], expected["train_logits"]) <= (
        1e-4 if frozen else 5e-2
    )
    assert_norms_equal(actual["grad_norm"], expected["grad_norm"], 1e-4 if frozen else 5e-2)
    assert_relative(actual, expected, "after1_norm", 1e-5)
    assert_relative(actual, expected, "after5_norm", 2e-3)
    if frozen:
        assert_norms_equal(actual["momentum_norm"], expected["momentum_norm"], 1e-3)
        assert_rows_equal(actual["grad_sample"], expected["grad_sample"], 1e-3)


def assert_relative(actual, expected, name, tolerance):
    np.testing.assert_allclose(actual[name], expected[name], rtol=tolerance, atol=0, err_msg=name)


def assert_losses_equal(actual, expected, frozen):
    tolerances = np.full(6, 1e-5) if frozen else np.array([5e-4, 1e-2, 1e-2, 5e-2, 5e-2, 5e-2])
    for name in ("step_loss", "step_total_loss"):
        difference = np.abs(actual[name] - expected[name]) / expected[name]
        assert np.all(difference <= tolerances), (name, difference)
    total = actual["step_each_loss"].sum(axis=1)
    np.testing.assert_allclose(total, actual["step_loss"], rtol=1e-6)
    np.testing.assert_allclose(
        actual["step_each_loss"][0], expected["step_each_loss"][0], rtol=tolerances[0]
    )


def assert_norms_equal(actual, expected, tolerance):
    """Compares with a floor for norms that are tiny beside the largest one."""
    difference = np.abs(actual - expected) / (expected + 1e-3 * expected.max())
    assert difference.max() <= tolerance, (int(difference.argmax()), float(difference.max()))


def assert_rows_equal(actual, expected, tolerance):
    scale = np.abs(expected).max(axis=1)
    difference = np.abs(actual - expected).max(axis=1) / (scale + 1e-3 * scale.max())
    assert difference.max() <= tolerance, (int(difference.argmax()), float(difference.max()))
