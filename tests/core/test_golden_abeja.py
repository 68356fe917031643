"""FCN and DeepLabV3 in PyTorch's form equal the stored numbers of the ABEJA template."""

import numpy as np
import pytest

from benchmarks.networks import operations_of
from core import layers, network
from tests.golden import __main__ as golden
from tests.golden import compare
from tests.golden.abeja import logits, networks, train
from tests.resources import golden_folder, golden_json
from utils.compat import tf

_QUICK = ("fcn_64x96_b2", "deeplabv3_65x129_b2")
_ARCHS = ("fcn_resnet101", "deeplabv3_resnet101")
_LOGITS = (
    "deeplabv3_128x160",
    "deeplabv3_65x129_b2",
    "deeplabv3_97",
    "fcn_64x96_b2",
    "fcn_97",
)

_QUICK_TRAININGS = ("fcn_frozen_bn_mask", "deeplabv3_frozen_bn_aux")
_TRAININGS = (
    "deeplabv3_finetune",
    "deeplabv3_finetune_aux_mask",
    "deeplabv3_frozen_bn_aux",
    "fcn_frozen_bn_mask",
    "fcn_heads_only_aux",
)

# Largest absolute difference by the start of an array's name.
_TOLERANCES = {"logits": 2e-4, "out_sample": 2e-4, "aux_sample": 2e-4, "point": 1e-4, "input": 1e-5}
_LABELS_EQUAL = 0.999


def _slow_but(quick, names) -> list:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def _recomputed(module, kind, name) -> tuple:
    """Returns the content of a manifest, its arrays recomputed, and as stored."""
    path = golden_folder() / "abeja" / kind / f"{name}.json"
    manifest = golden.read(path)
    actual = module.recompute(manifest, golden.root(path))
    expected = golden.stored(path, manifest, module)
    assert set(actual) == set(expected)
    return manifest, actual, expected


@pytest.mark.parametrize("name", _slow_but(_QUICK, _LOGITS))
def test_inference_equals_the_template(name):
    _, actual, expected = _recomputed(logits, "logits", name)
    for array, values in expected.items():
        if array == "labels":
            assert compare.share_equal(actual[array], values) >= _LABELS_EQUAL
        else:
            tolerance = next(
                limit for start, limit in _TOLERANCES.items() if array.startswith(start)
            )
            assert compare.largest_difference(actual[array], values) <= tolerance, array


@pytest.mark.once
def test_every_stored_inference_is_compared():
    stored = {path.stem for path in (golden_folder() / "abeja" / "logits").glob("*.json")}
    assert stored == set(_LOGITS)


# Trainings of ResNet-101 are costly, and those of other networks run on every TensorFlow.
@pytest.mark.once
@pytest.mark.parametrize("name", _slow_but(_QUICK_TRAININGS, _TRAININGS))
def test_training_steps_equal_the_template(name):
    manifest, actual, expected = _recomputed(train, "train", name)
    config = manifest["config"]
    frozen, heads_only = config["bn"] == "frozen", not config["params"]["FINE_TUNING"]
    _assert_relative(actual, expected, "step_learning_rate", 1e-6)
    _assert_losses(actual, expected, frozen, heads_only)
    for head in ("out", "aux"):
        sample = f"train_{head}_sample"
        difference = compare.largest_difference(actual[sample], expected[sample])
        assert difference <= (1e-4 if frozen else 3e-3), sample
    _assert_norms(actual, expected, "grad_norm", 1e-3 if frozen else 2e-2)
    np.testing.assert_allclose(
        actual["step_grad_norm"][0], expected["step_grad_norm"][0], rtol=1e-3 if frozen else 2e-2
    )
    _assert_after_one_step(actual, expected, 1e-6 if frozen else 1e-4)
    if frozen:
        _assert_rows(actual["grad_sample"], expected["grad_sample"], 2e-2)
    if frozen or heads_only:
        _assert_norms(actual, expected, "after5_norm", 1e-5 if frozen else 2e-3)
        _assert_norms(actual, expected, "slot_norm", 1e-2)


def _assert_losses(actual, expected, frozen, heads_only):
    if frozen:
        tolerances = [1e-5] * 3 + [1e-4] * 3
    elif heads_only:
        tolerances = [1e-4] * 6
    else:
        tolerances = [1e-4, 1e-2]
        assert actual["step_loss"][-1] < 0.5 * actual["step_loss"][0]
    for name in ("step_loss", "step_loss_parts"):
        for step, tolerance in enumerate(tolerances):
            np.testing.assert_allclose(
                actual[name][step], expected[name][step], rtol=tolerance, err_msg=f"{name} {step}"
            )


def _assert_after_one_step(actual, expected, tolerance):
    """Compares all entries, moving statistics too."""
    _assert_norms(actual, expected, "after1_norm", tolerance)
    difference = compare.largest_difference(actual["after1_sample"], expected["after1_sample"])
    assert difference <= tolerance


def _assert_relative(actual, expected, name, tolerance):
    np.testing.assert_allclose(actual[name], expected[name], rtol=tolerance, err_msg=name)


def _assert_norms(actual, expected, name, tolerance):
    """Compares with a floor for norms that are tiny beside the largest one."""
    found, wanted = actual[name], expected[name]
    difference = np.abs(found - wanted) / (wanted + 1e-3 * wanted.max())
    assert difference.max() <= tolerance, (name, int(difference.argmax()), difference.max())


def _assert_rows(found, wanted, tolerance):
    scale = np.abs(wanted).max(axis=1)
    difference = np.abs(found - wanted).max(axis=1) / (scale + 1e-3 * scale.max())
    assert difference.max() <= tolerance, (int(difference.argmax()), difference.max())


@pytest.mark.once
def test_every_stored_training_is_compared():
    stored = {path.stem for path in (golden_folder() / "abeja" / "train").glob("*.json")}
    assert stored == set(_TRAININGS)


@pytest.mark.once
@pytest.mark.parametrize("aux", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("arch", _ARCHS)
def test_variables_convolutions_and_arithmetic_equal_the_state_dict(arch, aux):
    networks_stored = golden_json("abeja/state_dict.json")["networks"].values()
    (expected,) = [item for item in networks_stored if (item["arch"], item["aux"]) == (arch, aux)]
    spec = networks.spec_of({"arch": arch, "aux": aux})
    network.build(
        tf.zeros([1, 97, 97, 3]),
        spec,
        expected["num_classes"],
        layers.Mode(builds_auxiliary=True),
        crop_size=(97, 97),
    )
    entries = {name: shape for name, shape, *_ in expected["entries"]}
    assert {
        networks.entry_name(variable.op.name, spec): _their_shape(variable)
        for variable in network.variables()
    } == {name: s for name, s in entries.items() if not name.endswith("num_batches_tracked")}
    convolutions = [
        operation
        for operation in tf.get_default_graph().get_operations()
        if operation.type == "Conv2D"
    ]
    assert {_module(operation, spec): _settings(operation) for operation in convolutions} == {
        name: [*kernel, stride, rate]
        for name, (kernel, _, _, stride, _, rate, _) in expected["convs"].items()
    }
    multiplications = sum(operations_of(operation) for operation in convolutions) // 2
    assert multiplications == expected["macs"]["97x97"]["total"]


def _their_shape(variable) -> list:
    return list(networks.in_their_order(np.zeros(variable.shape.as_list())).shape)


def _module(operation, spec) -> str:
    kernel = f"{operation.name.rsplit('/', 1)[0]}/weights"
    return networks.entry_name(kernel, spec)[: -len(".weight")]


def _settings(operation) -> list:
    return [
        *operation.inputs[1].shape.as_list()[:2],
        operation.get_attr("strides")[1],
        operation.get_attr("dilations")[1],
    ]


@pytest.mark.once
def test_the_rule_gives_the_published_weights():
    values = {
        ("backbone.conv1.weight", (64, 3, 7, 7)): (0.1302121, 0.13604, 0.1622118, 0.02971761),
        ("backbone.layer1.0.bn3.weight", (256,)): (0.2373259, 0.2308227, 0.2459948, 0.2713794),
        ("backbone.bn1.running_var", (64,)): (1.090045, 1.023175, 1.002408, 1.049682),
        ("classifier.4.weight", (21, 256, 1, 1)): (0.5261197, -0.2183915, -0.03117595, 0.8111255),
        ("aux_classifier.4.weight", (5, 256, 1, 1)): (0.5170748, -0.2108636, -0.7282097, 1.439706),
        ("classifier.4.bias", (21,)): (-0.002202138, -0.03791356, -0.1049582, 0.0164328),
    }
    for (name, shape), expected in values.items():
        found = networks.entry_value(name, shape).ravel()[:4]
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)
