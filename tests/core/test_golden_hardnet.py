"""FC-HarDNet equals the numbers of the original: inference, folded weights, training."""

import numpy as np
import pytest

from tests.golden import __main__ as golden
from tests.golden import compare
from tests.golden.hardnet import logits, train
from tests.resources import golden_folder, golden_json

_LOGITS = (
    "hardnet_64x96_b2",
    "hardnet_65x129",
    "hardnet_97",
    "hardnet_128x160_b2",
    "hardnet_256x320",
)
_TRAININGS = (
    "accumulate2_clip",
    "fch_loop_bootstrapped",
    "frozen_bn_adam",
    "frozen_bn_adamw",
    "frozen_bn_bootstrapped",
    "onecycle_nesterov",
)
_QUICK = ("hardnet_65x129", "frozen_bn_bootstrapped")

_LABELS_EQUAL = 0.999


def _cases(names):
    return [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


def _arrays(form, kind, name) -> tuple:
    """Returns what is recomputed and what is stored of a manifest."""
    path = golden_folder() / "hardnet" / kind / f"{name}.json"
    manifest = golden.read(path)
    return form.recompute(manifest, golden.root(path)), golden.stored(path, manifest, form)


def test_every_stored_manifest_is_compared():
    for folder, names in (("logits", _LOGITS), ("train", _TRAININGS)):
        stored = {path.stem for path in (golden_folder() / "hardnet" / folder).glob("*.json")}
        assert stored == set(names)


@pytest.mark.parametrize("name", _cases(_LOGITS))
def test_inference_equals_the_original(name):
    actual, expected = _arrays(logits, "logits", name)
    assert set(actual) == set(expected)
    for array, values in expected.items():
        if array.endswith("labels"):
            assert compare.share_equal(actual[array], values) >= _LABELS_EQUAL, array
        elif array in ("folded_norm", "folded_sample"):
            np.testing.assert_allclose(actual[array], values, rtol=1e-5, atol=1e-6, err_msg=array)
        elif array != "folded_labels_equal":
            assert compare.largest_difference(actual[array], values) <= 1e-4, array


@pytest.mark.parametrize("name", _cases(_TRAININGS))
def test_training_steps_equal_the_original(name):
    actual, expected = _arrays(train, "train", name)
    assert set(actual) == set(expected)
    manifest = golden_json(f"hardnet/train/{name}.json")
    frozen = manifest["config"]["bn"] == "frozen"
    is_adam = manifest["config"]["params"]["optimizer"].startswith("adam")

    for array in ("step_learning_rate", "step_momentum"):
        np.testing.assert_allclose(actual[array], expected[array], rtol=1e-6, err_msg=array)
    tolerances = [1e-5] * 2 + [1e-3] * 4 if frozen else [1e-4, 1e-2] + [5e-2] * 4
    for array in ("step_loss", "step_loss_parts"):
        difference = np.abs(actual[array] / expected[array] - 1.0).reshape(6, -1).max(axis=1)
        assert np.all(difference <= tolerances), (array, difference)
    np.testing.assert_allclose(
        actual["train_out_sample"], expected["train_out_sample"], atol=1e-4 if frozen else 1e-3
    )
    assert_norms_equal(actual, expected, "grad_norm", 1e-4 if frozen else 1e-1)
    for array in ("after1_norm", "after1_sample"):
        tolerance = 1e-5 if frozen else 1e-3
        np.testing.assert_allclose(
            actual[array], expected[array], rtol=tolerance, atol=tolerance, err_msg=array
        )
    if frozen:
        assert_rows_equal(actual["grad_sample"], expected["grad_sample"], 1e-3)
        assert_norms_equal(actual, expected, "after5_norm", 2e-3 if is_adam else 1e-5)
        assert_norms_equal(actual, expected, "slot_norm", 5e-2)
        np.testing.assert_allclose(
            actual["step_grad_norm"][0], expected["step_grad_norm"][0], rtol=1e-4
        )


@pytest.mark.once
def test_manifests_of_other_settings_need_no_stored_values():
    config = {"num_classes": 7, "images": [["tinted", 3, 61, 80]], "salt": "other:", "fold": True}
    arrays = logits.recompute({"config": config}, golden_folder())
    assert arrays["logits"].shape == (1, 16, 20, 7)
    np.testing.assert_allclose(arrays["folded_logits_out"], arrays["logits"], atol=1e-4)

    config["labels"] = [[5, 61, 80, 7, 250]]
    config["bn"] = "frozen"
    config["params"] = {
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "optimizer_params": {"lr": 0.01},
    }
    assert train.stored({"config": config}) == {}
    arrays = train.recompute({"config": config}, golden_folder())
    assert arrays["step_loss"].shape == (6,)
    assert arrays["step_loss"][-1] < arrays["step_loss"][0]
    assert len(arrays["after5_norm"]) > len(arrays["grad_norm"]) > 0


def assert_norms_equal(actual, expected, array, tolerance):
    """Compares with a floor for norms that are tiny beside the largest one."""
    actual, expected = actual[array], expected[array]
    difference = np.abs(actual - expected) / (expected + 1e-3 * expected.max(axis=0))
    assert difference.max() <= tolerance, (array, float(difference.max()))


def assert_rows_equal(actual, expected, tolerance):
    scale = np.abs(expected).max(axis=1)
    difference = np.abs(actual - expected).max(axis=1) / (scale + 1e-3 * scale.max())
    assert difference.max() <= tolerance, (int(difference.argmax()), float(difference.max()))
