"""RefineNet equals the numbers of the original system, in its own wiring and the corrected one."""

import numpy as np
import pytest

from core import network
from tests.golden import __main__ as golden
from tests.golden import compare
from tests.golden.refinenet import logits, rules, train
from tests.resources import golden_folder, golden_json
from utils.compat import tf
from utils.errors import OptionError

_LOGITS = (
    "fresh18_64x64",
    "fresh18_72x88",
    "fresh18_224x224",
    "fresh18_reversed_64x64",
    "fresh50_96x64",
    "r50_bilinear_64x64",
    "r50_cascade4_64x64",
    "r50_doc_64x64",
    "r50_doc_72x88",
    "r50_doc_96x64",
    "r50_doc_224x224",
    "r50_pools3_64x64",
    "r50_rcu3_96x64",
    "r50_scale1_64x64",
    "r50_skip_64x64",
    "r101_doc_64x64",
)
_TRAININGS = (
    "fresh18_corrected_batchstats",
    "fresh18_corrected_batchstats_sgd",
    "fresh18_original",
    "r50_doc_corrected",
    "r50_doc_corrected_batchstats",
    "r50_doc_corrected_frozen",
    "r50_doc_original",
    "r50_doc_original_frozen",
)
_TABLES = (
    "fresh18",
    "fresh18_reversed",
    "fresh50",
    "fresh101",
    "fresh152",
    "r50_bilinear",
    "r50_cascade4",
    "r50_doc",
    "r50_pools3",
    "r50_rcu3",
    "r50_scale1",
    "r50_skip",
    "r101_doc",
)
# Adam makes whole steps of gradients whose sign rounding decides, so that from the third step on
# results depend on the order of sums: in these trainings, two ways to compute the gradients of
# convolutions differ by more than the README's tolerances. Relative differences of losses, and of
# norms after five steps.
_DIVERGING = {
    "fresh18_corrected_batchstats": ([1e-5, 2e-2], None),
    "r50_doc_corrected_batchstats": ([1e-5, 1e-4, 1e-4, 1e-2, 5e-2, 5e-2], 1e-2),
    "r50_doc_corrected": ([1e-5, 1e-4, 1e-4, 1e-3, 5e-3, 5e-3], 1e-4),
}
# One bias of 187 variables differs by 1.2e-5 after five steps on TensorFlow 2.6.
_NORMS = {"fresh18_original": 2e-5}

_QUICK = ("fresh18_72x88", "fresh18_corrected_batchstats_sgd", "fresh18")


def _cases(names):
    return [
        name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names
    ]


def _read(folder, name):
    manifest = golden_json(f"refinenet/{folder}/{name}.json")
    backbone = rules.spec_of(manifest["config"], "corrected").options.model_variant
    if backbone not in network.BACKBONES:
        pytest.skip(f"{backbone} is not part of this version.")
    return manifest


def test_every_stored_manifest_is_compared():
    for folder, names in (("logits", _LOGITS), ("train", _TRAININGS)):
        stored = {path.stem for path in (golden_folder() / "refinenet" / folder).glob("*.json")}
        assert stored == set(names)


# Variables.


@pytest.mark.parametrize("form", rules.FORMS)
@pytest.mark.parametrize("name", _cases(_TABLES))
def test_variables_and_parameters_equal_the_stored_ones(name, form):
    stored = _read("weights", name)
    config, counts = stored["config"], stored[form]
    spec = rules.spec_of(config, form)
    size = config["input_shape"][:2]
    network.build(tf.zeros([1, *size, 3]), spec, len(config["classes"]), crop_size=size)
    variables = {rules.name_of(variable, spec): variable for variable in network.variables()}

    backbone = golden_json(f"refinenet/weights/backbone_{counts['backbone_table']}.json")
    expected = {row[0]: row[1] for row in (*backbone, *stored[f"{form}_rows"])}
    assert {name: item.shape.as_list() for name, item in variables.items()} == expected
    assert len(variables) == counts["variables"]

    assert _parameters(variables.values()) == counts["parameters"]
    learned = {name: item for name, item in variables.items() if "/moving_" not in name}
    assert _parameters(learned.values()) == counts["trainable"]
    of_head = [item for name, item in learned.items() if not name.startswith("backbone/")]
    assert _parameters(of_head) == counts["trainable_frozen_backbone"]
    trained = set(tf.trainable_variables())
    untrained = [item for name, item in learned.items() if "/rcu" in name and item not in trained]
    assert _parameters(untrained) == counts["without_gradient"]


def _parameters(variables) -> int:
    return sum(variable.shape.num_elements() for variable in variables)


# Inference.


@pytest.mark.parametrize("name", _cases(_LOGITS))
def test_inference_equals_the_original(name):
    manifest = _read("logits", name)
    path = golden_folder() / "refinenet" / "logits" / f"{name}.json"
    actual = logits.recompute(manifest, golden.root(path))
    expected = golden.stored(path, manifest, logits)
    assert set(actual) == set(expected)
    pixels = np.prod([len(manifest["images"]), *manifest["images"][0][2:]])
    for array, values in expected.items():
        limit = 0.001 * pixels if "positive" in array else 5e-4
        assert compare.largest_difference(actual[array], values) <= limit, array


# Training.


@pytest.mark.parametrize("name", _cases(_TRAININGS))
def test_training_equals_the_original(name):
    manifest = _read("train", name)
    actual, expected = train.recompute(manifest, golden_folder()), train.stored(manifest)
    assert set(actual) == set(expected)
    np.testing.assert_array_equal(actual["has_gradient"], expected["has_gradient"])
    np.testing.assert_allclose(actual["logits_before"], expected["logits_before"], atol=5e-4)
    with_moving_statistics = manifest["batch_norm"] == "inference"
    default = (
        ([1e-3] * 6, _NORMS.get(name, 1e-5))
        if with_moving_statistics
        else ([1e-5, *[1e-2] * 5], 1e-2)
    )
    losses, norms = _DIVERGING.get(name, default)
    difference = np.abs(actual["step_loss"] / expected["step_loss"] - 1.0)
    assert np.all(difference[: len(losses)] <= losses), difference
    if with_moving_statistics:
        _assert_equal_with_moving_statistics(actual, expected)
        rows = slice(None)
    else:
        # The gradients of biases in front of batch norm are rounding noise.
        names = sorted(row[0] for row in manifest["variables"])
        rows = [not name.endswith("/bias") or not name.startswith("backbone/") for name in names]
        _assert_norms_equal(actual["grad_norm"][rows], expected["grad_norm"][rows], 2e-2)
    _assert_close(actual, expected, "after1_norm", rows, 1e-5 if with_moving_statistics else 1e-2)
    if norms:
        _assert_close(actual, expected, "after5_norm", rows, norms)
    if name not in _DIVERGING and with_moving_statistics:
        _assert_close(actual, expected, "loss_after_inference_mode", ..., 1e-3)
        _assert_close(actual, expected, "delta5_norm", rows, 2e-3)


def _assert_equal_with_moving_statistics(actual, expected):
    """Compares what the first step computes and does."""
    _assert_norms_equal(actual["grad_norm"], expected["grad_norm"], 1e-4)
    largest = np.abs(expected["grad_sample"]).max(axis=1)
    difference = np.abs(actual["grad_sample"] - expected["grad_sample"]).max(axis=1)
    assert np.all(difference <= 1e-3 * largest + 1e-7)
    _assert_close(actual, expected, "delta1_norm", slice(None), 2e-3)


def _assert_close(actual, expected, array, rows, tolerance):
    np.testing.assert_allclose(
        actual[array][rows], expected[array][rows], rtol=tolerance, err_msg=array
    )


def _assert_norms_equal(actual, expected, tolerance):
    """Compares with a floor for norms that are tiny beside the largest one."""
    difference = np.abs(actual - expected) / (expected + 1e-3 * expected.max())
    assert difference.max() <= tolerance, (int(difference.argmax()), float(difference.max()))


# Manifests of other settings.


@pytest.mark.once
def test_a_manifest_without_stored_values_is_recomputed_and_an_unknown_key_refused():
    config = {
        "backbone": "resnet18",
        "pretrained": False,
        "refine_net_blocks": [["layer2"], ["layer1"]],
        "classes": ["a", "b", "c"],
        "refine_net_kwargs": {"reduce_channel_scale": 2, "mrf_kwargs": {"kernel_size": [1, 1]}},
    }
    manifest = {"config": config, "images": [["noise", 9, 40, 56]], "salt": "other:"}
    arrays = logits.recompute(manifest, golden_folder())
    assert arrays["logits"].shape == arrays["original_logits"].shape == (1, 40, 56, 3)
    assert logits.stored(manifest) == {}
    config["refine_net_kwargs"]["mrf_kwargs"] = {"size": 3}
    with pytest.raises(OptionError, match="refinenet_mrf_size"):
        logits.recompute(manifest, golden_folder())
